"""Signals of the drawn `machines`, and background music."""

from __future__ import annotations

import numpy as np

from avel_tf.synthesis.sounds import (
    SAMPLE_RATE,
    Sound,
    Waveform,
    band,
    harmonics,
    levelled,
    place_parts,
    steady_onsets,
)


def beeper(rng: np.random.Generator, seconds: int) -> Sound:
    """Short pure tones of one pitch, four a second, as a lorry in reverse gives."""
    pitch = rng.uniform(900, 1300)
    onsets = steady_onsets(seconds, 0.25)
    part = np.arange(int(0.12 * SAMPLE_RATE)) / SAMPLE_RATE
    tone = np.sin(2 * np.pi * pitch * part) * np.minimum(1, 200 * np.minimum(part, part[::-1]))
    return place_parts(onsets, [tone] * len(onsets), seconds)


def siren(rng: np.random.Generator, seconds: int) -> Sound:
    """A tone that wails up and down over more than an octave."""
    period = rng.uniform(0.9, 1.4)  # seconds
    low = rng.uniform(420, 560)  # Hz
    time = np.arange(seconds * SAMPLE_RATE) / SAMPLE_RATE
    sweep = 0.5 - 0.5 * np.cos(2 * np.pi * time / period)
    return Sound(levelled(harmonics(low * 2.6**sweep, 9, tilt=0.7)), steady_onsets(seconds, period))


def chime(rng: np.random.Generator, seconds: int) -> Sound:
    """Ding, dong: two soft notes a major third apart, each ringing out."""
    high = rng.uniform(620, 780)  # Hz
    onsets = steady_onsets(seconds, float(rng.uniform(0.42, 0.55)))
    time = np.arange(int(0.9 * SAMPLE_RATE)) / SAMPLE_RATE

    def note(pitch: float) -> np.ndarray:
        bars = ((1.0, 1.0, 0.35), (2.756, 0.3, 0.12), (5.404, 0.1, 0.05))  # of a free metal bar
        return sum(
            gain * np.sin(2 * np.pi * pitch * ratio * time) * np.exp(-time / decay)
            for ratio, gain, decay in bars
        )  # type: ignore[return-value]

    pair = [note(high), note(high / 1.26)]
    return place_parts(onsets, [pair[count % 2] for count in range(len(onsets))], seconds)


def buzzer(rng: np.random.Generator, seconds: int) -> Sound:
    """The rough rattle of an electric buzzer, in bursts."""
    mains = rng.uniform(95, 130)  # strokes of the armature per second
    onsets = steady_onsets(seconds, float(rng.uniform(0.6, 0.8)))
    length = int(0.45 * SAMPLE_RATE)

    def burst() -> np.ndarray:
        strokes = mains * (1 + rng.normal(0, 0.01, length))
        return np.sign(harmonics(strokes, 25, tilt=0.98)) + 0.2 * rng.normal(size=length)

    return place_parts(onsets, [burst() for _ in onsets], seconds)


def whistle(rng: np.random.Generator, seconds: int) -> Sound:
    """Blasts of a steam whistle: rushing air about two high tones that waver."""
    pitch = rng.uniform(1500, 2000)  # Hz
    onsets = steady_onsets(seconds, float(rng.uniform(0.75, 0.95)))
    part = np.linspace(0, 1, int(0.65 * SAMPLE_RATE))

    def blast() -> np.ndarray:
        waver = 1 + 0.01 * np.sin(2 * np.pi * 11 * part * 0.65 + rng.uniform(0, 6.28))
        tones = harmonics(pitch * waver, 2, tilt=0.3) + harmonics(1.19 * pitch * waver, 2, tilt=0.3)
        air = 1.5 * band(rng.normal(size=part.size), 0.8 * pitch, 7000)
        return (tones + air) * np.sin(np.pi * part**0.4) ** 0.6

    return place_parts(onsets, [blast() for _ in onsets], seconds)


def music(rng: np.random.Generator, seconds: int) -> Waveform:
    """Soft chords of strings, one every second and a half, levelled like a `Sound`."""
    root = rng.uniform(130, 200)  # Hz
    chords = np.array([[0, 4, 7], [-3, 0, 4], [5, 9, 12], [-5, -1, 2]])  # half tones: I, vi, IV, V
    onsets = steady_onsets(seconds, 1.5)
    part = np.linspace(0, 1, int(1.7 * SAMPLE_RATE))
    swell = np.minimum(1, 6 * np.minimum(part, 1 - part))
    parts = [
        swell * sum(
            harmonics(root * 2 ** (tone / 12) * (1 + 0.004 * np.sin(60 * part)), 6, tilt=0.5)
            for tone in chords[rng.integers(len(chords))]
        )
        for _ in onsets
    ]  # fmt: skip
    return place_parts(onsets, parts, seconds).waveform


SIGNALS = {
    "beeper": beeper,
    "siren": siren,
    "chime": chime,
    "buzzer": buzzer,
    "whistle": whistle,
}
