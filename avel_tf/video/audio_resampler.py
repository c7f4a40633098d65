"""Sound of one form and without a gap, on its way to 16 kHz mono."""

from __future__ import annotations

import math
from fractions import Fraction

import av
import numpy as np
from av.audio.fifo import AudioFifo

from avel_tf.video.clip import SAMPLE_RATE

# Frames whose time is this far from where the sound so far ends are put where their time says.
# Below that, time stamps are rounded (Matroska keeps milliseconds) rather than right; 45 ms is
# where viewers begin to notice that sound leads the picture (ITU-R BT.1359-1).
_TOLERANCE = Fraction(45, 1000)
# Resampled in portions of a quarter of a second: an AAC frame lasts 21 ms, and one at a time costs
# three times as much. What comes out is the same, bit for bit.
_PORTIONS_PER_SECOND = 4

Form = tuple[str, str, int, int]


class AudioResampler:
    """Frames that follow one another, and the resampler that makes one waveform of them.

    Two channels stay two, so that `AudioMix` can see whether they cancel each other out. Of more,
    mono is made by FFmpeg's downmix matrix, scaled so that its weights add up to one and nothing
    can exceed full scale.

    Args:
        begin: Where it begins, in seconds since time zero of the file.
        form: Sample format, layout, rate and channels of all its frames, as `form_of` gives them.
        origin: Time zero of the file, in seconds on the track's clock.
        tick: Seconds per tick of the track's clock.
    """

    def __init__(self, begin: Fraction, form: Form, origin: Fraction, tick: Fraction) -> None:
        self.form = form
        self.position = round(begin * SAMPLE_RATE)  # sample at which the next ones are laid down
        self._begin, self._heard = begin, 0
        rate = form[2]
        # A unit of which ticks, samples and the beginning are all multiples.
        zero = origin + begin  # on the track's clock
        self._units = math.lcm(tick.denominator, zero.denominator, rate)  # in a second
        self._scale = int(tick * self._units)  # in a tick
        self._step = self._units // rate  # in a sample
        self._zero = int(zero * self._units)
        self._slack = int(_TOLERANCE * self._units)
        self._portion = rate // _PORTIONS_PER_SECOND
        self._queue = AudioFifo()
        # `rematrix_maxval` scales the downmix: for floating point FFmpeg would otherwise let
        # equal channels add up to more than full scale.
        self._resampler = av.AudioResampler(
            "fltp",
            "stereo" if form[3] == 2 else "mono",
            SAMPLE_RATE,
            options={"rematrix_maxval": "1.0"},
        )

    @staticmethod
    def form_of(frame: av.AudioFrame) -> Form:
        """Sample format, layout, rate and channels of a frame."""
        layout = frame.layout
        return frame.format.name, layout.name, frame.sample_rate, layout.nb_channels

    @property
    def end(self) -> Fraction:
        """Expected time of the next frame if nothing is missing, in seconds."""
        return self._begin + Fraction(self._heard, self.form[2])

    def continued_at(self, ticks: int) -> bool:
        """Return True if a frame with this timestamp continues the audio so far."""
        # Asked for every frame, hence whole numbers: a tenth of the time that `Fraction` takes.
        return abs(ticks * self._scale - self._zero - self._heard * self._step) <= self._slack

    def add(self, frame: av.AudioFrame) -> list[tuple[int, np.ndarray]]:
        """Takes the next frame; returns (position, samples float32 `[C, n]`) that are now done."""
        self._heard += frame.samples
        frame.pts = None  # the queue would insist on stamps without rounding
        self._queue.write(frame)
        return self._resample() if self._queue.samples >= self._portion else []

    def finish(self) -> list[tuple[int, np.ndarray]]:
        """Flush the queue and the resampler; returns the same as `add`."""
        done = self._resample() if self._queue.samples else []
        return done + self._lay(self._resampler.resample(None))

    def _resample(self) -> list[tuple[int, np.ndarray]]:
        return self._lay(self._resampler.resample(self._queue.read()))

    def _lay(self, frames: list[av.AudioFrame]) -> list[tuple[int, np.ndarray]]:
        laid = []
        for frame in frames:
            samples = frame.to_ndarray()  # [C, n], C is 1 or 2
            samples = np.nan_to_num(samples, nan=0.0, posinf=0.0, neginf=0.0).clip(-1.0, 1.0)
            laid.append((self.position, samples))
            self.position += samples.shape[1]
        return laid
