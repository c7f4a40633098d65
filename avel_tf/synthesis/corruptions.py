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

# frames or waveform, severity, random generator, other clips' sounds -> frames or waveform
Apply = Callable[[np.ndarray, float, np.random.Generator, Sequence[np.ndarray]], np.ndarray]


@dataclass(frozen=True)
class Corruption:
    """One way to spoil one of the two senses.

    Args:
        name: what the command line calls it.
        sense: `picture` or `sound`.
        unit: of the severities.
        severities: from the mildest to the worst.
        apply: frames uint8 `[T,F,H,W,3]` or waveform float32 `[T*16000]`, a severity, a random
            generator and other clips' sounds, each float32 `[n]`, to an array of the same shape.
        removed_from: the severity from which on nothing is left of what could be seen or heard, so
            that every second is background in truth; None where the labels stay true.
    """

    name: str
    sense: str
    unit: str
    severities: tuple[float, ...]
    apply: Apply
    removed_from: float | None = None

    def removes(self, severity: float) -> bool:
        """True if no second of the corrupted clip is both heard and seen."""
        return self.removed_from is not None and severity >= self.removed_from


# Five voices and more at once are the babble of speech tests; with fewer one can listen to one
# (Simpson and Cooke, Consonant identification in N-talker babble, JASA 2005).
BABBLE_CLIPS = 5
_GREY = 128  # of 255: what covers the picture has no brightness of its own


def generator_for(clip_id: str, corruption: str, seed: int) -> np.random.Generator:
    """Return the generator of one clip and corruption: the same whatever else is measured."""
    return np.random.default_rng([seed, *(zlib.crc32(s.encode()) for s in (corruption, clip_id))])


def white_noise(
    waveform: np.ndarray, severity: float, rng: np.random.Generator, others: Sequence[np.ndarray]
) -> np.ndarray:
    """Add noise of equal power at all frequencies, `severity` dB below the sound."""
    return _mixed(waveform, rng.normal(size=waveform.size), severity)


def babble_noise(
    waveform: np.ndarray, severity: float, rng: np.random.Generator, others: Sequence[np.ndarray]
) -> np.ndarray:
    """Add the sounds of several other clips at once, `severity` dB below the sound."""
    voices = [sound for sound in others if np.any(sound)]
    if not voices:
        raise ValueError("Babble is mixed of other clips' sound, and none of the others has any.")
    chosen = rng.permutation(len(voices))[:BABBLE_CLIPS]
    babble = np.zeros(waveform.size)
    for place in chosen:
        voice = np.resize(voices[place], waveform.size).astype(float)  # a short one goes round
        babble += voice / math.sqrt(np.mean(voice**2) or 1.0)
    return _mixed(waveform, babble, severity)


def other_sound(
    waveform: np.ndarray, severity: float, rng: np.random.Generator, others: Sequence[np.ndarray]
) -> np.ndarray:
    """Put another clip's sound in place of a share `severity` of the clip, from its start."""
    if not others:
        raise ValueError("There is no other clip whose sound could be taken.")
    spoilt = np.array(waveform)
    samples = round(severity * waveform.size)
    spoilt[:samples] = np.resize(others[int(rng.integers(len(others)))], waveform.size)[:samples]
    return spoilt


def muted(
    waveform: np.ndarray, severity: float, rng: np.random.Generator, others: Sequence[np.ndarray]
) -> np.ndarray:
    """Silence a share `severity` of the clip, from its start."""
    spoilt = np.array(waveform)
    spoilt[: round(severity * waveform.size)] = 0
    return spoilt


def late_sound(
    waveform: np.ndarray, severity: float, rng: np.random.Generator, others: Sequence[np.ndarray]
) -> np.ndarray:
    """Let the sound begin `severity` seconds late; silence comes first, and the end is cut off."""
    samples = min(round(severity * SAMPLE_RATE), waveform.size)
    return np.concatenate([np.zeros(samples, np.float32), waveform[: waveform.size - samples]])


def occlusion(
    frames: np.ndarray, severity: float, rng: np.random.Generator, others: Sequence[np.ndarray]
) -> np.ndarray:
    """Cover a share `severity` of the picture's width, from top to bottom, with grey."""
    spoilt = np.array(frames)
    width = frames.shape[3]
    covered = round(severity * width)
    left = int(rng.integers(width - covered + 1))
    spoilt[..., left : left + covered, :] = _GREY
    return spoilt


def blur(
    frames: np.ndarray, severity: float, rng: np.random.Generator, others: Sequence[np.ndarray]
) -> np.ndarray:
    """Blur by a Gaussian with a standard deviation of `severity` picture heights."""
    if not severity:
        return np.array(frames)
    spoilt = np.empty_like(frames)
    for place in np.ndindex(frames.shape[:2]):
        spoilt[place] = cv2.GaussianBlur(frames[place], (0, 0), severity * frames.shape[2])
    return spoilt


def black_picture(
    frames: np.ndarray, severity: float, rng: np.random.Generator, others: Sequence[np.ndarray]
) -> np.ndarray:
    """Darken the picture by a share `severity`; 1 is black."""
    return np.round(frames * (1 - severity)).astype(np.uint8)


def _mixed(waveform: np.ndarray, noise: np.ndarray, decibels: float) -> np.ndarray:
    """Sound and noise at a ratio of mean powers over the clip, within [-1, 1]."""
    power = float(np.mean(np.square(waveform, dtype=float)))
    if not power or math.isinf(decibels):
        return np.array(waveform)  # no noise is so many decibels below silence
    noise = noise * math.sqrt(power / np.mean(noise**2)) * 10 ** (-decibels / 20)
    mixture = waveform + noise
    # Both are turned down where they would clip, which keeps their ratio.
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
