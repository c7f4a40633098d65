"""Decoding of one audio track to a 16 kHz waveform, placed by its time stamps."""

from __future__ import annotations

import logging
import math
from fractions import Fraction

import av
import numpy as np
from av.audio.fifo import AudioFifo

from avel_tf.video.clip import SAMPLE_RATE
from avel_tf.video.decode_settings import DecodeSettings
from avel_tf.video.source import reason
from avel_tf.video.track_times import tick_of

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


_log = logging.getLogger(__name__)

# A hole this long is worth a word: it can cost a second its sound. Matroska passes over damage
# without one, and the hole that it leaves is all there is to see of it.
_HOLE = Fraction(1, 2)


class AudioTrack:
    """Takes the packets of one audio track in order and gives out a gapless waveform.

    Args:
        stream: The audio track of an open file.
        origin: Time zero of the file, in seconds on its own clock.
        settings: Which formats are decoded.
    """

    def __init__(self, stream: av.AudioStream, origin: Fraction, settings: DecodeSettings) -> None:
        self.failure: str | None = None  # why the track is given up
        self.damaged = 0  # packets that could not be decoded
        self.missing = Fraction(0)  # seconds that holes in its midst add up to
        self.start: Fraction | None = None  # when the first sound begins, in seconds
        self.end = Fraction(0)  # when the last sound ends, in seconds
        self._stream = stream
        self._origin = origin
        self._tick = tick_of(stream)
        self._stretch: AudioResampler | None = None
        self._first_until: Fraction | None = None  # seconds up to which the first packet lasts
        self._position = 0  # sample at which the next resampled ones are laid down
        self._taken = 0  # samples already handed out
        self._chunks: list[tuple[int, np.ndarray]] = []
        if stream.codec_context is None:
            self.failure = "the audio is in a format for which there is no decoder"
        elif (codec := stream.codec_context.codec.canonical_name) not in settings.codecs:
            self.failure = f"the audio is in the format {codec}, which is not in media.codecs"

    @property
    def empty(self) -> bool:
        """True until the first audio has arrived."""
        return self.start is None

    @property
    def seconds(self) -> Fraction:
        """End of the waveform."""
        return Fraction(self._position, SAMPLE_RATE)

    @property
    def taken_seconds(self) -> Fraction:
        """Length of the waveform that has been taken."""
        return Fraction(self._taken, SAMPLE_RATE)

    def time_of(self, ticks: int) -> Fraction:
        """Seconds since time zero of a tick on the track's clock."""
        return ticks * self._tick - self._origin

    def decode(self, packet: av.Packet | None) -> None:
        """Takes the next packet; None fetches what decoder and resampler still hold back."""
        if self.failure:
            return
        if self._first_until is None and packet is not None and packet.pts is not None:
            self._first_until = self.time_of(packet.pts + (packet.duration or 0))
        try:
            frames = self._stream.codec_context.decode(packet)
        except MemoryError:
            raise
        except (av.FFmpegError, EOFError) as error:
            # A decoder that never got a packet has nothing to hand out at the end.
            if packet is not None:
                self.damaged += 1
            _log.debug("sound packet skipped: %s", error)
            frames = []
        try:
            for frame in frames:
                self._add(frame)
            if packet is None:
                self._finish()
        except MemoryError:
            raise
        except (av.FFmpegError, ValueError) as error:
            self.failure = f"the audio could not be converted ({reason(error)})"
        if packet is None and self.empty and self.damaged:
            self.failure = "the audio could not be decoded"

    def take(self, count: int) -> np.ndarray:
        """Hands out the next `count` samples, silence where there is no sound.

        Returns:
            float32 `[C, count]` in [-1, 1]; C is 2 where any of it has two channels, else 1.
        """
        begin, end = self._taken, self._taken + count
        channels = max((len(s) for p, s in self._chunks if p < end), default=1)
        waveform = np.zeros((channels, count), np.float32)  # [C, count]
        for position, samples in self._chunks:
            low, high = max(position, begin), min(position + samples.shape[1], end)
            if low < high:
                part = samples[:, low - position : high - position]
                waveform[:, low - begin : high - begin] = part
        self._chunks = [(p, s) for p, s in self._chunks if p + s.shape[1] > end]
        self._taken = end
        return waveform

    def _add(self, frame: av.AudioFrame) -> None:
        stretch, form = self._stretch, AudioResampler.form_of(frame)
        goes_on = stretch is not None and (frame.pts is None or stretch.continued_at(frame.pts))
        if stretch is None or not goes_on or form != stretch.form:
            end = stretch.end if stretch is not None else Fraction(0)
            time = end if frame.pts is None else self.time_of(frame.pts)
            # Fragmented mp4 without an edit list knows no late start: the first packet is said to
            # last until the second one.
            expected = end if self._first_until is None else max(end, self._first_until)
            if stretch is not None and time - expected > _HOLE:
                self.missing += time - expected
            self._finish()
            stretch = self._stretch = AudioResampler(time, form, self._origin, self._tick)
            self._position = stretch.position
        if self.start is None:
            self.start = max(Fraction(0), stretch.end)
        self._chunks += stretch.add(frame)
        self._position = stretch.position
        self.end = max(self.end, stretch.end)

    def _finish(self) -> None:
        if self._stretch is not None:
            self._chunks += self._stretch.finish()
            self._position = self._stretch.position
            self._stretch = None
