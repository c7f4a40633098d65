"""Corruptions of frames or audio, one function each, in physical units.

Every function takes the frames or the waveform of a clip, a severity, a random generator and the
waveforms of other clips, and returns a new array of the same shape. Severity 0 changes nothing; of
a severity in dB, infinity does.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from avel_tf.video.clip import SAMPLE_RATE

# (frames or waveform, severity, generator, waveforms of other clips) -> frames or waveform.
Apply = Callable[[np.ndarray, float, np.random.Generator, Sequence[np.ndarray]], np.ndarray]


@dataclass(frozen=True)
class Corruption:
    """A corruption of the frames or the audio of a clip.

    Args:
        name: name on the command line.
        sense: `picture` or `sound`, the corrupted modality.
        unit: unit of the severities.
        severities: from the mildest to the worst.
        apply: function from frames uint8 `[T,F,H,W,3]` or waveform float32 `[T*16000]`, a severity,
            a random generator and waveforms of other clips, each float32 `[n]`, to an array of the
            same shape.
        removed_from: severity from which on nothing of the modality is left, so that every segment
            is background; None if labels remain correct.
    """

    name: str
    sense: str
    unit: str
    severities: tuple[float, ...]
    apply: Apply
    removed_from: float | None = None

    def removes(self, severity: float) -> bool:
        """Returns True if no segment of the corrupted clip has an audio-visual event."""
        return self.removed_from is not None and severity >= self.removed_from


# Babble of speech tests has at least five voices; with fewer, single ones can be followed (Simpson
# and Cooke, Consonant identification in N-talker babble, JASA 2005).
BABBLE_CLIPS = 5
_GREY = 128  # of 255


def generator_for(clip_id: str, corruption: str, seed: int) -> np.random.Generator:
    """Returns the random generator of one clip and corruption, independent of others."""
    return np.random.default_rng([seed, *(zlib.crc32(s.encode()) for s in (corruption, clip_id))])


def white_noise(
    waveform: np.ndarray, severity: float, rng: np.random.Generator, others: Sequence[np.ndarray]
) -> np.ndarray:
    """Adds white noise, `severity` dB below the audio."""
    return _mixed(waveform, rng.normal(size=waveform.size), severity)


def babble_noise(
    waveform: np.ndarray, severity: float, rng: np.random.Generator, others: Sequence[np.ndarray]
) -> np.ndarray:
    """Adds the audio of several other clips, `severity` dB below the audio."""
    voices = [sound for sound in others if np.any(sound)]
    if not voices:
        raise ValueError(
            "Babble noise needs the audio of other clips. Received: no other clip with audio."
        )
    chosen = rng.permutation(len(voices))[:BABBLE_CLIPS]
    babble = np.zeros(waveform.size)
    for place in chosen:
        voice = np.resize(voices[place], waveform.size).astype(float)  # a short one is repeated
        babble += voice / math.sqrt(np.mean(voice**2) or 1.0)
    return _mixed(waveform, babble, severity)


def other_sound(
    waveform: np.ndarray, severity: float, rng: np.random.Generator, others: Sequence[np.ndarray]
) -> np.ndarray:
    """Replaces a share `severity` of the clip, from its start, by the audio of another clip."""
    if not others:
        raise ValueError("Replacing audio needs another clip with audio. Received: none.")
    corrupted = np.array(waveform)
    samples = round(severity * waveform.size)
    corrupted[:samples] = np.resize(others[int(rng.integers(len(others)))], waveform.size)[:samples]
    return corrupted


def muted(
    waveform: np.ndarray, severity: float, rng: np.random.Generator, others: Sequence[np.ndarray]
) -> np.ndarray:
    """Silences a share `severity` of the clip, from its start."""
    corrupted = np.array(waveform)
    corrupted[: round(severity * waveform.size)] = 0
    return corrupted


def late_sound(
    waveform: np.ndarray, severity: float, rng: np.random.Generator, others: Sequence[np.ndarray]
) -> np.ndarray:
    """Delays the audio by `severity` seconds; the start is silence, and the end is cut off."""
    samples = min(round(severity * SAMPLE_RATE), waveform.size)
    return np.concatenate([np.zeros(samples, np.float32), waveform[: waveform.size - samples]])


def occlusion(
    frames: np.ndarray, severity: float, rng: np.random.Generator, others: Sequence[np.ndarray]
) -> np.ndarray:
    """Covers a share `severity` of the frame's width with grey, at full height."""
    corrupted = np.array(frames)
    width = frames.shape[3]
    covered = round(severity * width)
    left = int(rng.integers(width - covered + 1))
    corrupted[..., left : left + covered, :] = _GREY
    return corrupted


def blur(
    frames: np.ndarray, severity: float, rng: np.random.Generator, others: Sequence[np.ndarray]
) -> np.ndarray:
    """Applies a Gaussian blur with a standard deviation of `severity` frame heights."""
    if not severity:
        return np.array(frames)
    corrupted = np.empty_like(frames)
    for place in np.ndindex(frames.shape[:2]):
        corrupted[place] = cv2.GaussianBlur(frames[place], (0, 0), severity * frames.shape[2])
    return corrupted


def black_picture(
    frames: np.ndarray, severity: float, rng: np.random.Generator, others: Sequence[np.ndarray]
) -> np.ndarray:
    """Darkens the frames by a share `severity`; 1 is black."""
    return np.round(frames * (1 - severity)).astype(np.uint8)


def _mixed(waveform: np.ndarray, noise: np.ndarray, decibels: float) -> np.ndarray:
    """Mixes audio and noise at a ratio of mean powers over the clip, within [-1, 1]."""
    power = float(np.mean(np.square(waveform, dtype=float)))
    if not power or math.isinf(decibels):
        return np.array(waveform)  # the ratio to silence is undefined
    noise = noise * math.sqrt(power / np.mean(noise**2)) * 10 ** (-decibels / 20)
    mixture = waveform + noise
    # Both are attenuated if the mixture would clip, which keeps their ratio.
    return (mixture / max(1.0, np.abs(mixture).max())).astype(np.float32)


_DECIBELS = (20.0, 10.0, 5.0, 0.0, -5.0)
CORRUPTIONS: dict[str, Corruption] = {
    corruption.name: corruption
    for corruption in (
        Corruption("white_noise", "sound", "dB", _DECIBELS, white_noise),
        Corruption("babble_noise", "sound", "dB", _DECIBELS, babble_noise),
        Corruption("late_sound", "sound", "s", (1.0, 2.0), late_sound),
        Corruption("other_sound", "sound", "share", (1.0,), other_sound, removed_from=1.0),
        Corruption("muted", "sound", "share", (1.0,), muted, removed_from=1.0),
        Corruption("occlusion", "picture", "share", (0.25, 0.5, 0.75, 1.0), occlusion,
                   removed_from=1.0),
        Corruption("blur", "picture", "heights", (0.01, 0.02, 0.04, 0.08), blur),
        Corruption("black_picture", "picture", "share", (1.0,), black_picture, removed_from=1.0),
    )
}  # fmt: skip
