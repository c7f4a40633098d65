"""Decoding of one audio track to a gapless waveform, placed by its time stamps."""

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

# Seconds by which a frame's time stamp may differ from the end of the audio before it; beyond that,
# the frame is placed by its time stamp. Smaller differences are rounding (Matroska stores
# milliseconds). Viewers notice audio that leads the video by more than 45 ms (ITU-R BT.1359-1).
_TOLERANCE = Fraction(45, 1000)
# Audio is resampled in portions of a quarter of a second. An AAC frame lasts 21 ms, and resampling
# one at a time costs three times as much, with the same result bit for bit.
_PORTIONS_PER_SECOND = 4

Form = tuple[str, str, int, int]


class AudioResampler:
    """Resampler of consecutive frames of one format to one rate.

    Without a `layout`, two channels stay two, so that `AudioMix` can check whether they cancel each
    other out, and more are mixed to mono. FFmpeg's downmix matrix is scaled so that its weights add
    up to one and the result does not exceed full scale.

    Args:
        begin: Start of the first frame, in seconds since time zero of the file.
        form: Sample format, layout, rate and channels of all its frames, as `form_of` gives them.
        origin: Time zero of the file, in seconds on the track's clock.
        tick: Seconds per tick of the track's clock.
        sample_rate: Rate of the resampled audio in Hz.
        layout: FFmpeg's name of its channels, such as `stereo`; None for the rule above.
    """

    def __init__(
        self,
        begin: Fraction,
        form: Form,
        origin: Fraction,
        tick: Fraction,
        sample_rate: int = SAMPLE_RATE,
        layout: str | None = None,
    ) -> None:
        self.form = form
        self.position = round(begin * sample_rate)  # index of the next sample
        self._begin, self._consumed = begin, 0  # seconds, and samples at the stored rate
        rate = form[2]
        # Unit of time of which ticks, samples and the start are all multiples.
        zero = origin + begin  # on the track's clock
        self._units = math.lcm(tick.denominator, zero.denominator, rate)  # in a second
        self._scale = int(tick * self._units)  # in a tick
        self._step = self._units // rate  # in a sample
        self._zero = int(zero * self._units)
        self._slack = int(_TOLERANCE * self._units)
        self._portion = rate // _PORTIONS_PER_SECOND
        self._queue = AudioFifo()
        # `rematrix_maxval` scales the downmix: otherwise equal channels in floating point could
        # add up to more than full scale.
        self._resampler = av.AudioResampler(
            "fltp",
            layout or ("stereo" if form[3] == 2 else "mono"),
            sample_rate,
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
        return self._begin + Fraction(self._consumed, self.form[2])

    def continued_at(self, ticks: int) -> bool:
        """Return True if a frame with this timestamp continues the audio so far."""
        # Integers, because this runs for every frame: a tenth of the time of `Fraction`.
        return abs(ticks * self._scale - self._zero - self._consumed * self._step) <= self._slack

    def add(self, frame: av.AudioFrame) -> list[tuple[int, np.ndarray]]:
        """Adds the next frame; returns resampled parts as (position, samples float32 `[C, n]`)."""
        self._consumed += frame.samples
        frame.pts = None  # the queue rejects rounded time stamps
        self._queue.write(frame)
        return self._resample() if self._queue.samples >= self._portion else []

    def finish(self) -> list[tuple[int, np.ndarray]]:
        """Flushes the queue and the resampler; returns the same as `add`."""
        done = self._resample() if self._queue.samples else []
        return done + self._lay(self._resampler.resample(None))

    def _resample(self) -> list[tuple[int, np.ndarray]]:
        return self._lay(self._resampler.resample(self._queue.read()))

    def _lay(self, frames: list[av.AudioFrame]) -> list[tuple[int, np.ndarray]]:
        laid = []
        for frame in frames:
            samples = frame.to_ndarray()  # [C, n]
            samples = np.nan_to_num(samples, nan=0.0, posinf=0.0, neginf=0.0).clip(-1.0, 1.0)
            laid.append((self.position, samples))
            self.position += samples.shape[1]
        return laid


_log = logging.getLogger(__name__)

# Seconds from which a gap is reported, because it can silence a segment. FFmpeg skips damage in
# Matroska without an error; the gap is the only sign of it.
_GAP = Fraction(1, 2)


class AudioTrack:
    """Decoder of one audio track to a gapless waveform.

    Args:
        stream: The audio track of an open file.
        origin: Time zero of the file, in seconds on its own clock.
        settings: Settings with the allowed codecs.
        sample_rate: Rate of the waveform in Hz.
        layout: FFmpeg's name of its channels; None keeps one or two and mixes more to one.
    """

    def __init__(
        self,
        stream: av.AudioStream,
        origin: Fraction,
        settings: DecodeSettings,
        *,
        sample_rate: int = SAMPLE_RATE,
        layout: str | None = None,
    ) -> None:
        self._sample_rate, self._layout = sample_rate, layout
        self.failure: str | None = None  # why the track cannot be decoded any more
        self.damaged = 0  # packets that could not be decoded
        self.missing = Fraction(0)  # total length of its gaps, in seconds
        self.start: Fraction | None = None  # start of its audio, in seconds
        self.end = Fraction(0)  # end of its audio, in seconds
        self._stream = stream
        self._origin = origin
        self._tick = tick_of(stream)
        self._resampler: AudioResampler | None = None
        self._first_until: Fraction | None = None  # end of the first packet, in seconds
        self._position = 0  # index of the next resampled sample
        self._taken = 0  # samples already returned
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
        return Fraction(self._position, self._sample_rate)

    @property
    def taken_seconds(self) -> Fraction:
        """Length of the waveform that has been taken."""
        return Fraction(self._taken, self._sample_rate)

    def time_of(self, ticks: int) -> Fraction:
        """Converts a time stamp of the track to seconds since time zero."""
        return ticks * self._tick - self._origin

    def decode(self, packet: av.Packet | None) -> None:
        """Decodes the next packet; None flushes the decoder and the resampler."""
        if self.failure:
            return
        if self._first_until is None and packet is not None and packet.pts is not None:
            self._first_until = self.time_of(packet.pts + (packet.duration or 0))
        try:
            frames = self._stream.codec_context.decode(packet)
        except MemoryError:
            raise
        except (av.FFmpegError, EOFError) as error:
            # Flushing a decoder that has received no packet raises an error, which is no damage.
            if packet is not None:
                self.damaged += 1
            _log.debug("audio packet skipped: %s", error)
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
        """Returns the next `count` samples; gaps are silence.

        Returns:
            float32 `[C, count]` in [-1, 1]. Without a `layout`, C is 2 if any part has two
            channels, else 1.
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
        resampler, form = self._resampler, AudioResampler.form_of(frame)
        continued = resampler is not None and (
            frame.pts is None or resampler.continued_at(frame.pts)
        )
        if resampler is None or not continued or form != resampler.form:
            end = resampler.end if resampler is not None else Fraction(0)
            time = end if frame.pts is None else self.time_of(frame.pts)
            # Fragmented mp4 without an edit list cannot express a late start: the first packet is
            # declared to last until the second one.
            expected = end if self._first_until is None else max(end, self._first_until)
            if resampler is not None and time - expected > _GAP:
                self.missing += time - expected
            self._finish()
            resampler = self._resampler = AudioResampler(
                time, form, self._origin, self._tick, self._sample_rate, self._layout
            )
            self._position = resampler.position
        if self.start is None:
            self.start = max(Fraction(0), resampler.end)
        self._chunks += resampler.add(frame)
        self._position = resampler.position
        self.end = max(self.end, resampler.end)

    def _finish(self) -> None:
        if self._resampler is not None:
            self._chunks += self._resampler.finish()
            self._position = self._resampler.position
            self._resampler = None
