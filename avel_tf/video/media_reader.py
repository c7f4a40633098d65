"""Reading of a file as a player shows it: every frame at its time, and audio at its full rate."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from fractions import Fraction
from typing import NamedTuple, cast

import av
import numpy as np
from av.container import InputContainer

from avel_tf.video.audio_track import AudioTrack
from avel_tf.video.decode_settings import DecodeSettings
from avel_tf.video.errors import MediaError
from avel_tf.video.frame_decoder import FrameDecoder
from avel_tf.video.packets import read_packets
from avel_tf.video.probe import (
    check_limits,
    choose_video_stream,
    describe,
    probe,
    set_up_decoder,
)
from avel_tf.video.source import open_media, over_limit
from avel_tf.video.track_selection import select_audio
from avel_tf.video.track_times import first_packets, origin_of, tick_of

_log = logging.getLogger(__name__)
# Rates that both AAC and every browser support: those of MPEG-1 and MPEG-2 audio.
_SAMPLE_RATES = (16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
_USUAL_SAMPLE_RATE = 48_000
# Seconds of audio without a frame after which the frame before is known to be still on screen.
# Muxers keep the two within seconds of each other.
_VIDEO_BEHIND = 60
# A first frame at most this much later than the audio is shown from the start, as in
# `frame_sampler`.
_TOLERANCE = Fraction(125, 1000)
# Seconds of audio returned at a time, so that a gap of hours takes no memory.
_AUDIO_PART = 1
# Pixel aspect ratios beyond this, or below its inverse, are errors of the file. The widest in use
# is 2.1 or so, of anamorphic film on PAL.
_WIDEST_PIXEL = 4.0
# Seconds before the start to which is sought. Decoders of audio need some packets before the first
# exact sample, 32 ms for AC-3. MPEG-TS has no index of key frames, which may be 10 s apart.
_PREROLL = {
    "mov": Fraction(1, 2),
    "matroska": Fraction(1, 2),
    "avi": Fraction(1, 2),
    "mpegts": Fraction(10),
}


class Frame(NamedTuple):
    """A frame that is shown from a time on, in seconds; None if the one before still is."""

    time: Fraction
    frame: av.VideoFrame | None


class Sound(NamedTuple):
    """The next samples, float32 `[C, n]`."""

    samples: np.ndarray


class MediaReader:
    """Frames and audio of an open file in the order of the file, in bounded memory.

    Args:
        container: The file, opened.
        path: Its name.
        settings: Limits and codecs.
        start: Second of the file that becomes time zero. The frame that is on screen then is the
            first one.

    Attributes:
        info: Header of the file.
        sample_rate: Rate of the audio in Hz: as stored, or 48 kHz if AAC or browsers do not support
            it. None without audio.
        start: Second of the file that is time zero.
        layout: Channels of the audio, `mono` or `stereo`. More than two are mixed to stereo.

    Raises:
        MediaError: There is no video track, or the header declares more than the limits.
    """

    def __init__(
        self,
        container: InputContainer,
        path: str | bytes | os.PathLike,
        settings: DecodeSettings,
        *,
        start: float = 0.0,
    ) -> None:
        self._container, self._path, self._settings = container, path, settings
        video = self._video = choose_video_stream(container, path, settings)
        choice = select_audio(container, path, video, settings, look_ahead=True)
        audios = [cast(av.AudioStream, container.streams[index]) for index in choice.indices]
        self._peeked = first_packets(container, video)
        self._origin = origin_of(video, audios, self._peeked)
        audio = audios[0] if audios else None
        info = describe(container, path, video, audio, self._origin, self._peeked)
        check_limits(info, video, settings)
        self.info = replace(info, rotation=probe(path, settings).rotation)
        set_up_decoder(video, settings)
        self._tick = tick_of(video)
        self.start = Fraction(start).limit_denominator(1000)
        self._zero = self._origin + self.start
        self.sample_rate: int | None = None
        self.layout = "mono"
        if audio is not None and info.sample_rate:
            stored = info.sample_rate
            self.sample_rate = stored if stored in _SAMPLE_RATES else _USUAL_SAMPLE_RATE
            # Several tracks are the channels of a master.
            self.layout = "mono" if info.channels == 1 or len(audios) > 1 else "stereo"
        self._tracks = {
            each.index: AudioTrack(
                each,
                self._zero,
                settings,
                sample_rate=self.sample_rate or _USUAL_SAMPLE_RATE,
                layout=self.layout,
            )
            for each in audios
        }
        self._decoder = FrameDecoder(video)
        # In mp4 the duration of a frame ends when the next one is decoded, not when it is shown.
        self._trust = not (video.codec_context.has_b_frames and info.container.startswith("mov"))
        self._usual = Fraction(1, 25)  # of PAL television
        if info.frame_rate:
            self._usual = 1 / Fraction(info.frame_rate).limit_denominator(1001)
        self._shown: Fraction | None = None  # time of the latest frame
        self._before: av.VideoFrame | None = None  # latest frame before time zero
        self._end = Fraction(0)
        self._count = 0

    @classmethod
    @contextmanager
    def open(
        cls, path: str | bytes | os.PathLike, settings: DecodeSettings, *, start: float = 0.0
    ) -> Iterator[MediaReader]:
        """Opens a file in the current process; a job of `run_media_job` calls it."""
        with ExitStack() as stack:
            container = stack.enter_context(open_media(path, settings))
            reader = cls(container, path, settings, start=start)
            if not reader.seek():
                stack.close()
                container = stack.enter_context(open_media(path, settings))
                reader = cls(container, path, settings, start=start)
            yield reader

    def size(self, largest: tuple[int, int], least_width: int = 2) -> tuple[int, int]:
        """Size of the upright picture in square pixels.

        Args:
            largest: (H, W) that it is scaled down to fit.
            least_width: Width to which a smaller one is scaled up, if that fits.

        Returns:
            Even (H, W).
        """
        aspect = self.info.pixel_aspect
        if not 1 / _WIDEST_PIXEL <= aspect <= _WIDEST_PIXEL:
            aspect = 1.0
        height, width = float(self.info.height), float(self.info.width)
        # Of the two ways to square pixels, the one that enlarges.
        height, width = (height, width * aspect) if aspect > 1 else (height / aspect, width)
        if self.info.rotation % 180:
            height, width = width, height
        scale = min(max(1.0, least_width / width), largest[0] / height, largest[1] / width)
        return max(2, round(height * scale / 2) * 2), max(2, round(width * scale / 2) * 2)

    def parts(self) -> Iterator[Frame | Sound]:
        """Reads frames and audio; the last part is the end of the file, a `Frame` without a frame.

        Times of frames increase. Frames that are stored far behind their time are left out.

        Raises:
            MediaError: A limit is exceeded.
        """
        for packet in read_packets(self._container, self._streams, self._peeked):
            if packet.stream is self._video:
                try:
                    frames = self._decoder.decode(packet)
                except MemoryError:
                    raise
                except (av.FFmpegError, EOFError) as error:
                    _log.debug("%s: video packet skipped: %s", self.info.path, error)
                    continue
                yield from self._show(frames)
            elif not self._tracks[packet.stream.index].failure:
                self._tracks[packet.stream.index].decode(packet)
                yield from self._audio()
                if self._heard - (self._shown or 0) > _VIDEO_BEHIND:
                    yield from self._hold(self._heard - _VIDEO_BEHIND // 2)
        yield from self._show(self._decoder.finish())
        for track in self._tracks.values():
            track.decode(None)
        yield from self._audio(everything=True)
        if self._count == 0:
            raise MediaError(self._path, "none of its frames can be decoded")
        yield from self._show_first()
        yield Frame(max(self._end, self._heard), None)

    def seek(self) -> bool:
        """Moves an open file near the start, before its parts are read.

        Returns:
            False if that failed, so that the file must be opened once more.
        """
        preroll = _PREROLL.get(self.info.container.split(",")[0])
        if preroll is None or self.start <= preroll:
            return True
        target = self._zero - preroll
        self._peeked = []
        try:
            self._container.seek(int(target / self._tick), stream=self._video, backward=True)
            for packet in read_packets(self._container, self._streams):
                ticks = packet.pts if packet.pts is not None else packet.dts
                if packet.stream is self._video:
                    if ticks is None or ticks * self._tick > self._zero:
                        return False
                    if not packet.is_keyframe:
                        continue
                self._peeked.append(packet)
                if packet.stream is self._video:
                    return True
        except (av.FFmpegError, OSError) as error:
            _log.debug("%s is read from its beginning: %s", self.info.path, error)
        return False

    @property
    def _streams(self) -> list[av.VideoStream | av.AudioStream]:
        tracks = [each for each in self._container.streams.audio if each.index in self._tracks]
        return [self._video, *tracks]

    @property
    def _heard(self) -> Fraction:
        """End of the audio in seconds."""
        return max((track.end for track in self._tracks.values()), default=Fraction(0))

    def _show(self, frames: list[av.VideoFrame]) -> Iterator[Frame]:
        for frame in frames:
            self._count += 1
            self._limit("max_frames", self._count, "it holds {:,} frames")
            self._limit("max_pixels", frame.width * frame.height, "it holds {:,} pixels in a frame")
            ticks = frame.pts if frame.pts is not None else frame.dts
            time = self._end if ticks is None else ticks * self._tick - self._zero
            self._limit("max_seconds", float(time), "it holds a frame at {:.6g} seconds")
            duration = frame.duration * self._tick if frame.duration and self._trust else 0
            self._end = max(self._end, time + (duration or self._usual))
            if time <= 0:
                self._before = frame
                continue
            yield from self._show_first()
            if self._shown is None and time <= _TOLERANCE:
                time = Fraction(0)
            if self._shown is None or time > self._shown:
                self._shown = time
                yield Frame(time, frame)

    def _show_first(self) -> Iterator[Frame]:
        """Shows the latest frame before time zero from then on."""
        if self._before is not None:
            yield Frame(Fraction(0), self._before)
            self._before, self._shown = None, Fraction(0)

    def _hold(self, second: Fraction) -> Iterator[Frame]:
        """Shows the latest frame up to a time."""
        yield from self._show(self._decoder.drain((second + self._zero) / self._tick))
        yield from self._show_first()
        if second > (self._shown or 0):
            self._shown = second
            yield Frame(second, None)

    def _audio(self, *, everything: bool = False) -> Iterator[Sound]:
        tracks = [track for track in self._tracks.values() if not track.failure]
        if not tracks or self.sample_rate is None:
            return
        ends = [track.seconds for track in tracks]
        end = max(ends) if everything else min(ends)
        self._limit("max_seconds", float(end), "it holds audio at {:.6g} seconds")
        if end <= 0:  # before time zero; forget it
            for track in tracks:
                track.take(0)
        while (left := end - tracks[0].taken_seconds) > 0 and (everything or left >= _AUDIO_PART):
            count = int(min(left, Fraction(_AUDIO_PART)) * self.sample_rate)
            mixed = np.mean([track.take(count) for track in tracks], axis=0, dtype=np.float32)
            if not count:
                return
            shape = (1 if self.layout == "mono" else 2, count)
            yield Sound(np.broadcast_to(mixed, shape))  # [C, n]; a gap has one channel

    def _limit(self, name: str, value: float, finding: str) -> None:
        if value > getattr(self._settings, name):
            over_limit(self._path, name, value, self._settings, finding.format(value))
