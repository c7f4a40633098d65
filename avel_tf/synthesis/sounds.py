"""Sounds of the synthetic event classes, by simple physical models.

Every function takes a random generator and a length in seconds, and returns a `Sound`: a waveform
and the times at which its parts begin (a strike, a bark, a pluck), to which the drawings move.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, sosfilt

SAMPLE_RATE = 16_000  # hertz, the rate of the audio embeddings

Waveform = NDArray[np.float32]
Samples = NDArray[np.float64]


@dataclass(frozen=True)
class Sound:
    """Waveform with the onsets of its parts.

    Args:
        waveform: float32 `[n]`, about 0.2 RMS in loud seconds; a clip sets the final level.
        onsets: onset times in seconds, ascending.
    """

    waveform: Waveform
    onsets: tuple[float, ...]


def church_bell(rng: np.random.Generator, seconds: int) -> Sound:
    """A tuned bell: inharmonic partials, the low ones ringing longest.

    Reference: the partials of a minor-third bell (hum, prime, tierce, quint, nominal and above).
    """
    prime = rng.uniform(300, 480)
    ratios = np.array([0.5, 1.0, 1.2, 1.5, 2.0, 2.51, 3.01, 4.17, 5.43])
    gains = np.array([0.5, 0.7, 0.8, 0.35, 1.0, 0.5, 0.45, 0.3, 0.18])
    decays = rng.uniform(0.8, 1.2) * np.array([2.6, 2.0, 1.5, 1.1, 0.9, 0.55, 0.45, 0.3, 0.2])

    time = np.arange(3 * SAMPLE_RATE) / SAMPLE_RATE
    beating = ratios * (1 + rng.normal(0, 0.002, ratios.size))  # no bell is quite round
    ring = np.zeros(time.size)
    for ratio, twin, gain, decay in zip(ratios, beating, gains, decays, strict=True):
        pair = np.sin(2 * np.pi * prime * ratio * time) + np.sin(2 * np.pi * prime * twin * time)
        ring += gain * np.exp(-time / decay) * pair

    def strike() -> Samples:
        clapper = band(rng.normal(size=time.size), 1500, 6000) * np.exp(-time / 0.012)
        return rng.uniform(0.7, 1.0) * ring + 2.5 * clapper

    onsets = _onsets(rng, seconds, every=rng.uniform(0.9, 1.0), jitter=0.02)
    return place_parts(onsets, [strike() for _ in onsets], seconds)


def bark(rng: np.random.Generator, seconds: int) -> Sound:
    """Short bursts of a rough glottal tone whose pitch jumps up and falls, with breath noise."""
    pitch = rng.uniform(260, 480)
    onsets = _onsets(rng, seconds, every=rng.uniform(0.38, 0.55), jitter=0.06)

    def woof() -> Samples:
        length = int(rng.uniform(0.15, 0.22) * SAMPLE_RATE)
        part = np.linspace(0, 1, length)
        glide = pitch * (0.75 + 0.6 * np.sin(np.pi * part**0.7)) * rng.uniform(0.93, 1.07)
        throat = harmonics(glide, 18, tilt=0.7) + 0.6 * rng.normal(size=length)
        mouth = band(throat, 500, 1100) + 0.8 * band(throat, 1300, 2100)
        mouth += 0.35 * band(throat, 2600, 4200)
        return mouth * np.sin(np.pi * part**0.45) ** 1.5

    return place_parts(onsets, [woof() for _ in onsets], seconds)


def helicopter(rng: np.random.Generator, seconds: int) -> Sound:
    """Blade chop: noise and low thumps at the blade rate, under the whine of the turbine."""
    blades = rng.uniform(9, 14)  # chops per second
    length = seconds * SAMPLE_RATE
    time = np.arange(length) / SAMPLE_RATE
    phase = blades * time + 0.08 * np.sin(2 * np.pi * 0.3 * time)
    chop = np.exp(-6.0 * (phase % 1.0))
    air = band(rng.normal(size=length), 90, 1400)
    thump = np.sin(2 * np.pi * rng.uniform(60, 80) * time) * chop**2
    turbine = sum(
        np.sin(2 * np.pi * rng.uniform(0.99, 1.01) * whine * time + rng.uniform(0, 6.28))
        for whine in (1150, 2300, 3450)
    )
    waveform = 1.6 * air * (0.12 + chop) + 0.9 * thump + 0.035 * turbine
    return Sound(levelled(waveform), steady_onsets(seconds, 1 / blades))


def clock(rng: np.random.Generator, seconds: int) -> Sound:
    """Tick, tock: two small resonances, hit in turn four times a second."""
    resonances = rng.uniform(1800, 2600) * np.array([[1.0, 1.71, 2.43], [0.8, 1.38, 2.1]])
    onsets = steady_onsets(seconds, 0.25)
    ticks = []
    for count in range(len(onsets)):
        time = np.arange(int(0.09 * SAMPLE_RATE)) / SAMPLE_RATE
        click = band(rng.normal(size=time.size), 2000, 7500) * np.exp(-time / 0.002)
        for frequency in resonances[count % 2]:
            click += 0.6 * np.sin(2 * np.pi * frequency * time) * np.exp(-time / 0.013)
        ticks.append(click)
    return place_parts(onsets, ticks, seconds)


def acoustic_guitar(rng: np.random.Generator, seconds: int) -> Sound:
    """Plucked strings in arpeggios over a few chords.

    Reference: Karplus and Strong, Digital Synthesis of Plucked-String and Drum Timbres, 1983.
    """
    root = rng.integers(43, 51)  # MIDI note of the lowest chord, G2 to D3
    chords = np.array([[0, 7, 12, 16, 19], [-3, 4, 9, 12, 16], [5, 12, 17, 21, 24]])
    onsets = _onsets(rng, seconds, every=rng.uniform(0.2, 0.3), jitter=0.01)

    def pluck(note: int) -> Samples:
        period = int(SAMPLE_RATE / (440 * 2 ** ((note - 69) / 12)))
        return plucked_string(rng.uniform(-1, 1, period), int(1.4 * SAMPLE_RATE), loss=0.996)

    strings = []
    for count in range(len(onsets)):
        chord = chords[(count // 8) % len(chords)]
        strings.append(pluck(int(root + chord[rng.integers(len(chord))])))
    return place_parts(onsets, strings, seconds)


def plucked_string(pluck: Samples, length: int, *, loss: float) -> Samples:
    """Return a string that rings after `pluck` `[period]`, `[length]`.

    Each sample is the mean of the two that lie a period before it, times `loss`. A period is
    computed at a time, which is faster than a filter with a tap for each sample of the period.
    """
    period = pluck.size
    string = np.zeros(period + 1 + length)  # after a silent period
    string[period + 1 : 2 * period + 1] = pluck
    for start in range(2 * period + 1, string.size, period):
        last = string[start - period - 1 : min(start, string.size - period)]
        np.add(last[1:], last[:-1], out=string[start : start + period])
        string[start : start + period] *= loss / 2
    return string[period + 1 :]


def train_horn(rng: np.random.Generator, seconds: int) -> Sound:
    """A chord of five air horns in long blasts, each swelling up to its pitch."""
    chord = rng.uniform(0.9, 1.1) * np.array([311.1, 370.0, 415.3, 493.9, 622.3])  # Hz, K5LA horn
    onsets, blasts = [], []
    start = 0.0
    while start < seconds - 0.1:
        duration = rng.uniform(0.8, 1.7)
        part = np.linspace(0, 1, int(duration * SAMPLE_RATE))
        swell = np.minimum(1, part * duration / 0.09) * np.minimum(1, (1 - part) * duration / 0.12)
        pitch = 0.97 + 0.03 * np.minimum(1, part * duration / 0.15)
        voices = sum(harmonics(horn * pitch, 12, tilt=0.75) for horn in chord)
        breath = 0.25 * band(rng.normal(size=part.size), 800, 5000)
        onsets.append(start)
        blasts.append((np.asarray(voices) + breath) * swell)
        start += duration + rng.uniform(0.1, 0.2)
    return place_parts(tuple(onsets), blasts, seconds)


def baby_cry(rng: np.random.Generator, seconds: int) -> Sound:
    """Wails whose pitch rises and falls with a tremble, and a gasp of breath between them."""
    pitch = rng.uniform(380, 520)
    onsets, wails = [], []
    start = 0.0
    while start < seconds - 0.1:
        duration = rng.uniform(0.6, 0.95)
        part = np.linspace(0, 1, int(duration * SAMPLE_RATE))
        arch = 0.8 + 0.45 * np.sin(np.pi * part**0.6)
        tremble = 1 + 0.025 * np.sin(2 * np.pi * rng.uniform(6, 8) * part * duration)
        voice = harmonics(pitch * arch * tremble, 14, tilt=0.82)
        voice = 0.5 * voice + band(voice, 900, 1600) + 0.9 * band(voice, 2800, 4200)
        voice += 0.15 * band(rng.normal(size=part.size), 2000, 6000)
        onsets.append(start)
        wails.append(voice * np.sin(np.pi * part**0.5))
        start += duration + rng.uniform(0.12, 0.22)
    return place_parts(tuple(onsets), wails, seconds)


def race_car(rng: np.random.Generator, seconds: int) -> Sound:
    """Engine harmonics that climb through a gear, fall at the shift, and climb again."""
    length = seconds * SAMPLE_RATE
    shifts, start = [], 0.0
    speed = np.zeros(length)
    while start < seconds:
        duration = rng.uniform(1.2, 2.2)
        first, last = int(start * SAMPLE_RATE), int((start + duration) * SAMPLE_RATE)
        climb = np.linspace(0, 1, last - first) ** 0.7
        gear = rng.uniform(115, 145) * (1 + 0.9 * climb)
        speed[first:last] = gear[: length - first]
        shifts.append(start)
        start += duration
    glide = np.asarray(sosfilt(butter(1, 12, fs=SAMPLE_RATE, output="sos"), speed - speed[0]))
    firing = glide + speed[0]
    engine = harmonics(firing, 24, tilt=0.88) + 0.5 * harmonics(firing * 0.5, 9, tilt=0.8)
    rasp = 1 + 0.25 * rng.normal(size=length)
    exhaust = 0.5 * band(rng.normal(size=length), 300, 3000)
    return Sound(levelled(np.tanh(0.6 * (engine * rasp + exhaust))), tuple(shifts))


def accordion(rng: np.random.Generator, seconds: int) -> Sound:
    """Two reeds per note, tuned a little apart, so that melody and chord shimmer."""
    root = rng.uniform(196, 262)  # Hz, G3 to C4
    scale = 2 ** (np.array([0, 2, 4, 5, 7, 9, 11, 12]) / 12)
    beat = rng.uniform(0.3, 0.42)
    onsets = steady_onsets(seconds, beat)
    length = int(beat * SAMPLE_RATE)
    swell = np.minimum(1, np.minimum(np.arange(length), np.arange(length)[::-1]) / 500)

    @lru_cache
    def reeds(tone: float) -> Samples:
        pair = (np.full(length, tone * detune) for detune in (0.9965, 1.0035))
        return np.asarray(sum(harmonics(reed, 16, tilt=0.85) for reed in pair))

    notes = []
    step = int(rng.integers(len(scale)))
    for count in range(len(onsets)):
        step = int(np.clip(step + rng.integers(-2, 3), 0, len(scale) - 1))
        note = np.zeros(length)
        for tone, gain in ((2 * root * scale[step], 1.0), (root * (1.5, 1.26)[count % 2], 0.5),
                           (root, 0.5)):  # fmt: skip
            note += gain * reeds(tone)
        notes.append(note * swell)
    return place_parts(onsets, notes, seconds)


def frying(rng: np.random.Generator, seconds: int) -> Sound:
    """A steady hiss of fat with hundreds of crackling drops and a few loud spits."""
    length = seconds * SAMPLE_RATE
    hiss = 0.35 * band(rng.normal(size=length), 2500, 7600)
    drops = np.zeros(length)
    count = seconds * int(rng.uniform(120, 200))
    drops[rng.integers(0, length, count)] = rng.exponential(2.2, count) * rng.choice([-1, 1], count)
    crackle = band(drops, 1800, 7000)
    spits = np.zeros(length)
    onsets = _onsets(rng, seconds, every=0.25, jitter=0.1)
    for onset in onsets:
        first = int(onset * SAMPLE_RATE)
        tail = min(700, length - first)
        spits[first : first + tail] += rng.normal(size=tail) * np.exp(-np.arange(tail) / 130)
    return Sound(levelled(hiss + 2.0 * crackle + 0.6 * band(spits, 1200, 5000)), onsets)


def coloured_noise(rng: np.random.Generator, samples: int, exponent: float) -> Samples:
    """Return noise whose power falls as frequency to the power of `-exponent`, RMS 1.

    Args:
        rng: source of the noise.
        samples: length n.
        exponent: 0 white, 1 pink, 2 brown.

    Returns:
        float64 `[n]`.
    """
    spectrum = np.fft.rfft(rng.normal(size=samples))
    frequency = np.maximum(np.fft.rfftfreq(samples, 1 / SAMPLE_RATE), 20.0)  # Hz; deeper: unheard
    noise = np.fft.irfft(spectrum * frequency ** (-exponent / 2), samples)
    return noise / np.sqrt(np.mean(noise**2))


def _onsets(
    rng: np.random.Generator, seconds: int, *, every: float, jitter: float
) -> tuple[float, ...]:
    steady = np.arange(0.05, seconds - 0.05, every)
    shaken = np.clip(steady + rng.normal(0, jitter, steady.size), 0, seconds - 0.05)
    return tuple(float(time) for time in np.sort(shaken))


def steady_onsets(seconds: int, step: float) -> tuple[float, ...]:
    """Return moments `step` seconds apart, from 0 on."""
    return tuple(float(t) for t in np.arange(0.0, seconds, step))


def harmonics(frequency: Samples, count: int, *, tilt: float) -> Samples:
    """Return `count` harmonics of a gliding `frequency` `[n]`, each `tilt` times the last."""
    turn = 2 * np.pi * np.cumsum(frequency) / SAMPLE_RATE
    # sin(k x) = 2 cos(x) sin((k - 1) x) - sin((k - 2) x)
    twice_cosine = 2 * np.cos(turn)
    before, wave, buffer = np.zeros(turn.size), np.sin(turn), np.zeros(turn.size)
    tone = np.zeros(turn.size)
    highest = 0.48 * SAMPLE_RATE  # above it would fold back
    top = frequency.max(initial=0.0)
    for number in range(1, count + 1):
        np.multiply(wave, tilt ** (number - 1), out=buffer)
        if number * top >= highest:
            buffer *= number * frequency < highest
        tone += buffer
        np.multiply(twice_cosine, wave, out=buffer)
        buffer -= before
        before, wave, buffer = wave, buffer, before
    return tone


def band(samples: Samples, low: float, high: float) -> Samples:
    """Return what lies between two frequencies in Hz."""
    return np.asarray(sosfilt(_band_filter(low, high), samples))


@lru_cache(maxsize=256)
def _band_filter(low: float, high: float) -> Samples:
    """Second-order sections; their design takes longer than filtering the sound of a part."""
    return np.asarray(butter(2, [low, high], "band", fs=SAMPLE_RATE, output="sos"))


def place_parts(onsets: tuple[float, ...], parts: list[Samples], seconds: int) -> Sound:
    """Lay one part down at each onset, and cut what goes beyond the end."""
    waveform = np.zeros(seconds * SAMPLE_RATE)
    for onset, part in zip(onsets, parts, strict=True):
        first = int(onset * SAMPLE_RATE)
        kept = part[: waveform.size - first]
        waveform[first : first + kept.size] += kept
    return Sound(levelled(waveform), onsets)


def levelled(waveform: Samples) -> Waveform:
    """Scale so that the loud parts, not the pauses, of different sounds are equally loud."""
    blocks = waveform[: waveform.size // 800 * 800].reshape(-1, 800)  # [n/800, 800], 50 ms each
    loudness = np.sqrt(np.quantile(np.mean(blocks**2, axis=1), 0.9))
    return np.asarray(waveform * (0.2 / loudness), np.float32)
