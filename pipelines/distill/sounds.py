"""The sounds that the audio backbone learns from, those it never hears, and how seconds are mixed.

Imported by the `audio*.py` scripts beside it. A sound is learned from, or held out for
measuring, by rules that depend on nothing but its name: `held_out` has them.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from scipy.signal import fftconvolve, resample

from avel_tf.synthesis.event_classes import EVENT_CLASSES
from avel_tf.synthesis.sounds import SAMPLE_RATE, coloured_noise
from avel_tf.video import decode_clip
from pipelines.distill import corpus

# A fifth to a third of the classes of each labelled source. None of them is a class of AVE: those
# are left for training.
HELD_OUT_CLASSES = (
    "children_playing",
    "jackhammer",
    "cow",
    "frog",
    "sheep",
    "Clarinet",
    "Double_bass",
    "Snare_drum",
)
# Dogs whose spectrogram is, somewhere, nearly that of an ESC-10 clip (correlation above 0.93; clips
# of silence with a click, which resemble many, aside): likely the same recording. Neither learned
# from nor measured on.
LIKELY_DUPLICATES = (
    "audio/animal_sound/03715.ogg",  # ESC-10's 00018
    "audio/animal_sound/03798.ogg",  # 00003
    "audio/urbansound8k/01792.ogg",  # 00030
)
# Only these sources carry labels good enough to be learned as such; the others are sound.
LABELLED_SOURCES = ("urbansound8k", "animal_sound", "seth_instruments", "donateacry")
# How often a second is taken from each source: roughly by how much sound it has, with a lower
# share for what is all alike (cries, synthetic sounds) and for the few clips.
SHARES = {
    "urbansound8k": 0.34,
    "animal_sound": 0.16,
    "seth_instruments": 0.15,
    "donateacry": 0.05,
    "vehicle_sounds": 0.09,
    "cdda_sounds": 0.08,
    "clips": 0.07,
    "synthetic": 0.06,
}
# The demo and the tests count their seeds from 0; nobody counts this far.
SYNTHETIC_SEED = 1_000_000_007
SYNTHETIC_PER_CLASS = 24
SYNTHETIC_SECONDS = 10

# Lengths that become a second: played up to a quarter faster or slower, pitch and tempo together.
# Products of small primes, which Fourier transforms like.
STRETCHES = (12_800, 13_500, 14_400, 15_360, 16_000, 16_000, 16_875, 18_000, 19_200, 20_000)
SILENCE = 1e-4  # RMS under which a stretch counts as a pause: -80 dB


@dataclass(frozen=True)
class Recording:
    """One sound file, or the sound of one clip.

    Args:
        name: its place in the corpus.
        source: the folder, or `clips`, or `synthetic`.
        label: as the manifest spells it.
        split: `train`, `class` (held out by class), `source` (held out by source), `duplicate`.
        samples: int16 `[n]`, 16 kHz mono; half the memory of float32.
    """

    name: str
    source: str
    label: str
    split: str
    samples: np.ndarray

    @property
    def waveform(self) -> np.ndarray:
        """float32 `[n]` in [-1, 1]."""
        return self.samples.astype(np.float32) / 32_768.0


def held_out(member: corpus.Member) -> str:
    """Partition of a sound of the corpus.

    ESC-10, the manifest's `eval`, is held out whole: by source. `HELD_OUT_CLASSES` are held out by
    class, whichever source they come from.
    """
    if member.split == "eval":
        return "source"
    if member.file in LIKELY_DUPLICATES:
        return "duplicate"
    return "class" if member.label in HELD_OUT_CLASSES else "train"


def read_corpus(corpora: Path, parts: tuple[str, ...] = ("train",)) -> list[Recording]:
    """The sounds of `audio.zip` that belong to these parts, in the order of the manifest."""
    members = [
        member for member in corpus.read_manifest(corpora, "audio") if held_out(member) in parts
    ]
    files = corpus.read_bytes(corpora / "audio.zip", members)
    recordings = []
    for member, content in zip(members, files, strict=True):
        samples, rate = soundfile.read(io.BytesIO(content), dtype="int16")
        if rate != SAMPLE_RATE or samples.ndim != 1:
            raise ValueError(
                f"{member.file} in {corpora / 'audio.zip'} has {rate} Hz and shape "
                f"{samples.shape}; expected {SAMPLE_RATE} Hz mono. Convert it first."
            )
        part = held_out(member)
        recordings.append(Recording(member.file, member.source, member.label, part, samples))
    return recordings


def read_labelled(folder: Path, split: str = "train") -> list[Recording]:
    """Sounds of a folder with `manifest.tsv`, one source for each class.

    Args:
        folder: Its table has the columns path, class, kind, redistributable and split.
        split: `train`, without sounds whose licence does not allow weights to be shipped; or
            `held-out`.

    Returns:
        Their recordings, whose label is the class.
    """
    with open(folder / "manifest.tsv", newline="", encoding="utf-8") as table:
        rows = [
            row
            for row in csv.DictReader(table, delimiter="\t")
            if row["kind"] in ("sound", "rendered sound") and row["split"] == split
            if split != "train" or row["redistributable"] != "no"
        ]
    recordings = []
    for row in rows:
        samples, rate = soundfile.read(folder / row["path"], dtype="int16")
        if rate != SAMPLE_RATE or samples.ndim != 1:
            raise ValueError(
                f"{folder / row['path']} has {rate} Hz and shape {samples.shape}; expected "
                f"{SAMPLE_RATE} Hz mono. Convert it first."
            )
        label = row["class"]
        recordings.append(Recording(row["path"], f"class/{label}", label, split, samples))
    return recordings


def read_clips(clips: Path) -> list[Recording]:
    """The sound of the clips that may be learned from, without their labels."""
    recordings = []
    for path in corpus.training_clips(clips):
        waveform = decode_clip(path, size=(16, 16)).waveform
        name = str(path.relative_to(clips))
        recordings.append(Recording(name, "clips", "", "train", as_int16(waveform)))
    return recordings


def synthesise() -> list[Recording]:
    """Sounds of the project's own synthetic classes, by seeds that no demo or test uses."""
    recordings = []
    for index, (label, event_class) in enumerate(EVENT_CLASSES.items()):
        for number in range(SYNTHETIC_PER_CLASS):
            rng = np.random.default_rng([SYNTHETIC_SEED, index, number])
            waveform = event_class.sound(rng, SYNTHETIC_SECONDS).waveform
            name = f"{label} {number}"
            recordings.append(Recording(name, "synthetic", label, "train", as_int16(waveform)))
    return recordings


def as_int16(waveform: np.ndarray) -> np.ndarray:
    """float `[n]` in [-1, 1] to int16 `[n]`; what is beyond is clipped."""
    return np.round(np.clip(waveform, -1.0, 1.0) * 32_767.0).astype(np.int16)


def class_names(recordings: list[Recording]) -> list[str]:
    """The labels that are learned as such, sorted."""
    return sorted(
        {r.label for r in recordings if r.split == "train" and r.source in LABELLED_SOURCES}
    )


def whole_seconds(waveform: np.ndarray) -> np.ndarray:
    """Cut a recording for measuring: float32 `[n]` to `[T, 16000]`.

    A rest of half a second or more is padded with silence, a shorter one dropped; what is shorter
    than a second is repeated until it fills one, as teachers want it.
    """
    if waveform.size < SAMPLE_RATE:
        waveform = np.resize(waveform, SAMPLE_RATE)
    seconds = (waveform.size + SAMPLE_RATE // 2) // SAMPLE_RATE
    padded = np.pad(waveform, (0, max(0, seconds * SAMPLE_RATE - waveform.size)))
    return padded[: seconds * SAMPLE_RATE].reshape(seconds, SAMPLE_RATE)  # [T, 16000]


class SecondMixer:
    """Draws seconds of sound: one recording or several at once, changed and disturbed.

    Args:
        recordings: what may be heard; only those of the split `train` are taken.
        classes: the labels that are learned; a second's label is the place in this list.
        shares: how often a second is taken from each source.
    """

    def __init__(
        self,
        recordings: list[Recording],
        classes: list[str],
        shares: dict[str, float] = SHARES,
    ) -> None:
        self.classes = {name: index for index, name in enumerate(classes)}
        self.by_source: dict[str, list[Recording]] = {}
        for recording in recordings:
            if recording.split == "train":
                self.by_source.setdefault(recording.source, []).append(recording)
        self.sources = [source for source in shares if source in self.by_source]
        weights = np.array([shares[source] for source in self.sources])
        self.shares = weights / weights.sum()
        # Long recordings more often than short ones, but not in proportion: they repeat themselves.
        self.weights = {}
        for source, members in self.by_source.items():
            lengths = np.sqrt([max(r.samples.size, SAMPLE_RATE) for r in members])
            self.weights[source] = lengths / lengths.sum()

    def draw(self, rng: np.random.Generator) -> tuple[np.ndarray, int]:
        """One second, float32 `[16000]`, and its label, -1 where it has none or several."""
        if rng.random() < 0.01:
            hush = _noise(rng) * 10 ** (rng.uniform(-110, -60) / 20)
            return hush.astype(np.float32), -1
        voices = int(rng.choice([1, 2, 3], p=[0.5, 0.38, 0.12]))
        mixed = np.zeros(SAMPLE_RATE)
        label = -1
        for voice in range(voices):
            recording = self._recording(rng)
            second = _changed(rng, _excerpt(rng, recording.waveform))
            loudness = _rms(second)
            if loudness < SILENCE:
                continue
            # The first voice is the reference; the others are up to 10 dB louder or quieter.
            level = 0.0 if voice == 0 else rng.uniform(-10, 10)
            mixed += second / loudness * 10 ** (level / 20)
            if voices == 1 and recording.source in LABELLED_SOURCES:
                label = self.classes[recording.label]
        return _disturbed(rng, mixed).astype(np.float32), label

    def _recording(self, rng: np.random.Generator) -> Recording:
        source = self.sources[rng.choice(len(self.sources), p=self.shares)]
        members = self.by_source[source]
        return members[rng.choice(len(members), p=self.weights[source])]


def _excerpt(rng: np.random.Generator, waveform: np.ndarray) -> np.ndarray:
    """A second of a recording, played a little faster or slower."""
    length = int(rng.choice(STRETCHES))
    if waveform.size >= length:
        # Of four places the first that is no pause.
        for first in rng.integers(0, waveform.size - length + 1, 4):
            excerpt = waveform[first : first + length]
            if _rms(excerpt) > 10 * SILENCE:
                break
    elif rng.random() < 0.5:
        excerpt = np.roll(np.resize(waveform, length), rng.integers(length))
    else:
        excerpt = np.zeros(length)
        first = rng.integers(0, length - waveform.size + 1)
        excerpt[first : first + waveform.size] = waveform
    return excerpt if length == SAMPLE_RATE else resample(excerpt, SAMPLE_RATE)


def _changed(rng: np.random.Generator, second: np.ndarray) -> np.ndarray:
    """Another colour, a room, backwards, or cut off: each now and then."""
    if rng.random() < 0.3:
        spectrum = np.fft.rfft(second)
        octaves = np.linspace(0, 1, 6)
        place = np.log2(1 + np.linspace(0, 255, spectrum.size)) / 8
        gains = np.interp(place, octaves, rng.uniform(-9, 9, octaves.size))  # dB
        second = np.fft.irfft(spectrum * 10 ** (gains / 20), SAMPLE_RATE)
    if rng.random() < 0.15:
        time = np.arange(int(rng.uniform(0.1, 0.5) * SAMPLE_RATE))
        echoes = rng.normal(size=time.size) * np.exp(-4.0 * time / time.size)
        room = fftconvolve(second, echoes / np.linalg.norm(echoes))[:SAMPLE_RATE]
        second = second + rng.uniform(0.2, 1.0) * room
    if rng.random() < 0.08:
        second = second[::-1]
    if rng.random() < 0.15:
        begin, end = np.sort(rng.uniform(0, 1, 2))
        if end - begin > 0.25:
            time = np.linspace(0, 1, SAMPLE_RATE)
            second = second * np.clip(np.minimum(time - begin, end - time) * 100, 0, 1)  # 10 ms
    return second


def _disturbed(rng: np.random.Generator, mixed: np.ndarray) -> np.ndarray:
    """Noise under the sound, and any loudness."""
    loudness = _rms(mixed)
    if loudness > 0 and rng.random() < 0.35:
        mixed = mixed + _noise(rng) * loudness * 10 ** (-rng.uniform(0, 40) / 20)
    level = 10 ** (rng.uniform(-50, -8) / 20)
    mixed = mixed * (level / max(_rms(mixed), SILENCE))
    return np.clip(mixed, -1.0, 1.0)


def _noise(rng: np.random.Generator) -> np.ndarray:
    return coloured_noise(rng, SAMPLE_RATE, rng.uniform(0, 2))


def _rms(samples: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))
