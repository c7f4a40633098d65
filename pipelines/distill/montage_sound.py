"""Audio of a montage clip."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from avel_tf.synthesis.clip_plan import ClipPlan, runs
from avel_tf.synthesis.sounds import coloured_noise
from pipelines.distill.material import SAMPLE_RATE, Material

if TYPE_CHECKING:
    from pipelines.distill.montage import MontageSettings

Sound = NDArray[np.float64]

_BLOCK = SAMPLE_RATE // 40  # 25 ms: the grain in which silence is looked for
_AUDIBLE = 10 ** (-30 / 20)  # of the loudest block's amplitude; what lies below is a pause
_PAUSE = 5  # blocks kept on each side of a sound: pauses shrink to a quarter of a second
_GATE = SAMPLE_RATE // 50  # 20 ms: sounds start, stop and repeat without a click


def audible(sound: NDArray[np.floating]) -> Sound:
    """The sound at an amplitude (RMS) of 1, its pauses cut to a quarter of a second: `[m]`, m <= n.

    So every second of it, however often it is repeated, holds the sound that its label names.
    """
    blocks = np.pad(sound, (0, -len(sound) % _BLOCK)).reshape(-1, _BLOCK).astype(float)  # [k, 400]
    level = np.sqrt(np.mean(blocks**2, axis=1))  # [k]
    loud = level >= max(_AUDIBLE * level.max(), 1e-6)
    if not loud.any():
        raise ValueError("A sound of silence cannot stand for a class.")
    kept = np.convolve(loud, np.ones(2 * _PAUSE + 1), "same") > 0
    return blocks[kept].ravel() / np.sqrt(np.mean(blocks[loud] ** 2))


def repeated(sound: Sound, samples: int, rng: np.random.Generator) -> Sound:
    """As much of a sound as is asked for, from a random moment, over and over: `[samples]`."""
    ramp = np.linspace(0, 1, min(_GATE, len(sound) // 2))
    sound = sound.copy()
    sound[: len(ramp)] *= ramp
    sound[len(sound) - len(ramp) :] *= ramp[::-1]
    start = int(rng.integers(len(sound)))
    return np.resize(np.roll(sound, -start), samples)


def coloured(sound: Sound, tilt: float, speed: float) -> Sound:
    """A sound through another microphone (dB per octave), and a little slower or faster."""
    sound = np.interp(np.arange(0, len(sound) - 1, speed), np.arange(len(sound)), sound)
    samples = scipy.fft.next_fast_len(len(sound), real=True)  # a prime takes ten times as long
    frequency = np.maximum(scipy.fft.rfftfreq(samples, 1 / SAMPLE_RATE), 60.0)  # Hz
    gain = 10 ** (tilt * np.log2(frequency / 1000) / 20)
    sound = scipy.fft.irfft(scipy.fft.rfft(sound, samples) * gain, samples)[: len(sound)]
    return sound / np.sqrt(np.mean(sound**2))


def listen(
    plan: ClipPlan, material: Material, settings: MontageSettings, seed: Sequence[int]
) -> NDArray[np.float32]:
    """The sound of a clip, float32 `[T*16000]` in (-1, 1)."""
    rng = np.random.default_rng([*seed, 1])
    samples = settings.seconds * SAMPLE_RATE
    decibels = rng.uniform(*settings.loudness)
    below = 10 ** ((decibels - rng.uniform(*settings.signal_to_noise)) / 20)
    share = rng.random()
    ambient = repeated(audible(material.sound(material.draw_ambient(rng))), samples, rng)
    hiss = coloured_noise(rng, samples, exponent=float(rng.choice([0, 0.5, 1, 1.5, 2])))
    mixture = below * (np.sqrt(share) * ambient + np.sqrt(1 - share) * hiss)  # [T*16000]
    voices: dict[str, Sound] = {}  # one dog barks throughout a clip
    for thing, start, end in runs(plan.sounding):
        if thing not in voices:
            sound = audible(material.sound(material.draw_sound(rng, thing)))
            voices[thing] = coloured(
                sound, rng.uniform(*settings.tilt), rng.uniform(*settings.speed)
            )
        first, last = (round(SAMPLE_RATE * each) for each in _span(rng, start, end, settings))
        gain = 10 ** ((decibels + rng.uniform(-3, 3)) / 20)
        part = gain * repeated(voices[thing], last - first, rng)
        ramp = np.linspace(0, 1, _GATE)
        part[:_GATE] *= ramp
        part[-_GATE:] *= ramp[::-1]
        mixture[first:last] += part
    return np.tanh(mixture).astype(np.float32)  # peaks bend, as in a recorder's limiter


def _span(
    rng: np.random.Generator, start: int, end: int, settings: MontageSettings
) -> tuple[float, float]:
    """When a sound begins and ends: a little late and a little early, as life is."""
    return (
        start + rng.uniform(*settings.late) * (start > 0),
        end - rng.uniform(*settings.late) * (end < settings.seconds),
    )
