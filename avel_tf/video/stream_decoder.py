"""Decoder of an open file or live stream: one pass over its packets, in blocks of seconds."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from typing import cast

import av
import numpy as np
from av.container import InputContainer

from avel_tf.video.audio_mix import AudioMix
from avel_tf.video.clip import SAMPLE_RATE, Clip
from avel_tf.video.decode_request import DecodeRequest
from avel_tf.video.decode_summary import DISAGREEMENT, DecodeSummary, FrameGaps
from avel_tf.video.errors import MediaError
from avel_tf.video.frame_decoder import FrameDecoder
from avel_tf.video.frame_sampler import FrameSampler, SampleTimes
from avel_tf.video.frame_skipper import FrameSkipper, role_reader
from avel_tf.video.live import open_stream
from avel_tf.video.packets import read_packets
from avel_tf.video.probe import (
    check_limits,
    choose_video_stream,
    describe,
    rotation_of,
    set_up_decoder,
)
from avel_tf.video.source import open_media, over_limit, reason
from avel_tf.video.track_selection import select_audio
from avel_tf.video.track_times import first_packets, origin_of, tick_of

_log = logging.getLogger(__name__)
_HALF = Fraction(1, 2)
# Bounds of memory for badly interleaved files, in seconds. Audio stored further than
# `_AUDIO_BEHIND` behind its frame is left out. After `_VIDEO_BEHIND` of audio without a frame, the
# latest frame is held. Muxers keep the two within seconds of each other, and FFmpeg interleaves mp4
# itself. 60 s of waiting hold 60 F resized frames; 300 s of audio take 19 MB a channel.
_AUDIO_BEHIND = 60
_VIDEO_BEHIND = 300
# A live stream cannot wait for so long; FFmpeg's muxers wait 10 s for a packet of each track
# (`max_interleave_delta`).
_LIVE_VIDEO_BEHIND = 15
# Time within which a file may exceed the mean frame rate: recorders that write a frame on every
# change begin with a burst.
_BURST_SECONDS = 1.0


class StreamDecoder:
    """Decodes video and audio of an open file or live stream in one pass over its packets.

    Args:
        container: The file, opened.
        request: The form of the clips, and the limits. With `live`, the length that a header
            declares is not compared with what was decoded.

    Raises:
        MediaError: There is no video track, or the header declares more than the limits.
    """

    def __init__(self, container: InputContainer, request: DecodeRequest) -> None:
        path, settings = request.shown_path, request.settings
        frames_per_second = request.frames_per_second
        self._request, self._path, self._settings = request, path, settings
        self._container = container
        self._video = choose_video_stream(container, path, settings)
        choice = select_audio(container, path, self._video, settings, look_ahead=not request.live)
        audios = [cast(av.AudioStream, container.streams[index]) for index in choice.indices]
        audio = audios[0] if audios else None
        self._peeked = first_packets(container, self._video)
        self._origin = origin_of(self._video, audios, self._peeked)
        self._info = describe(container, path, self._video, audio, self._origin, self._peeked)
        check_limits(self._info, self._video, settings)
        set_up_decoder(self._video, settings)
        self._decoder = FrameDecoder(self._video)
        self._tick = tick_of(self._video)
        times = SampleTimes(self._origin, self._tick, frames_per_second)
        # In mp4 the duration of a frame ends when the next one is decoded, not when it is shown.
        reordered = bool(self._video.codec_context.has_b_frames)
        trust_durations = not (reordered and self._info.container == "mov")
        self._sampler = FrameSampler(
            self._origin, self._tick, self._info.frame_rate, times, request.size, trust_durations
        )
        self._last_duration: int | None = None  # of the latest video packet, in ticks
        rate = self._info.frame_rate
        fast = rate is None or rate > frames_per_second
        role_of = role_reader(self._info.video_codec, self._video.codec_context.extradata)
        # If every frame is sampled, none can be skipped.
        skipping = fast and not settings.every_picture
        self._skipper = FrameSkipper(role_of if skipping else None, times, reordered=reordered)
        numbers = [container.streams.audio.index(each) + 1 for each in audios]
        self._mix = (
            AudioMix(audios, numbers, self._origin, settings, choice.remark) if audios else None
        )
        # Other containers report damage, or are not stored in the order in which they are read.
        self._gaps = (
            FrameGaps(self._video, self._info.frame_rate, DISAGREEMENT)
            if self._info.container == "matroska"
            else None
        )
        self._summary = DecodeSummary(
            request, self._origin, self._video, audio, self._sampler, self._mix, self._gaps
        )
        self._emitted = 0  # seconds yielded so far
        self._position = 0.0  # seconds; time of the latest video packet
        self._audio_end = 0.0  # seconds; end of the decoded audio
        self._video_behind = _LIVE_VIDEO_BEHIND if request.live else _VIDEO_BEHIND
        self._frame_count = 0
        self._last_shown: int | None = None  # ticks

    def blocks(self) -> Iterator[Clip]:
        """Decodes the file in blocks; the last one carries `problem` and `remark`.

        Each block of a live stream is yielded as soon as it is complete. If the stream ends right
        after a block, a problem is raised as a `MediaError`.
        """
        stopped = False
        block_seconds = self._request.block_seconds
        for packet in self._packets():
            if packet.stream is self._video:
                self._take_video(packet)
            else:
                self._decode_audio(packet)
            if self._request.seconds is not None and self._complete_to(self._request.seconds):
                stopped = True
                break
            # Half a second of the next block must exist, otherwise this block is the last one.
            more = Fraction(0) if self._request.live else _HALF
            while self._complete_to(self._emitted + block_seconds, more=more):
                yield self._block(block_seconds)
        self._flush()
        if self._sampler.empty and not stopped:
            raise MediaError(self._path, self._summary.no_frame())
        end = int(self._summary.end + _HALF)
        total = max(1, end if self._request.seconds is None else min(end, self._request.seconds))
        if self._emitted >= total and (problem := self._summary.problem(self._info)):
            raise MediaError(self._path, problem[0].lower() + problem[1:-1])
        while self._emitted < total:
            yield self._block(min(block_seconds, total - self._emitted), total)

    def _packets(self) -> Iterator[av.Packet]:
        """Yields packets in file order; after a failed read, continues behind the damage."""
        streams: list[av.VideoStream | av.AudioStream] = [self._video]
        if self._mix is not None:
            streams += [s for s in self._container.streams.audio if s.index in self._mix.streams]
        wanted = streams if self._gaps is None else list(self._container.streams)
        peeked, self._peeked = self._peeked, []
        try:
            for packet in read_packets(self._container, wanted, peeked, self._read_failed):
                if self._gaps is not None:
                    self._gaps.add(packet)
                if packet.stream in streams:
                    yield packet
        except (av.error.ExitError, TimeoutError):
            # Only live streams have a timeout, see `avel_tf.video.live`.
            self._summary.silent = True

    def _read_failed(self, error: Exception) -> None:
        self._summary.read_failure = reason(error)
        self._skipper.stop()

    def _complete_to(self, second: int, more: Fraction = Fraction(0)) -> bool:
        """Returns True if both tracks are decoded up to this second, and one for `more` seconds."""
        sampler, mix = self._sampler, self._mix
        if not sampler.reached(second):
            return False
        if not (sampler.reached(second + more) or (mix and mix.seconds >= second + more)):
            return False
        if mix is None or mix.failure or mix.seconds >= second:
            return True
        return self._position >= second + _AUDIO_BEHIND

    def _take_video(self, packet: av.Packet) -> None:
        self._last_duration = packet.duration
        pts, dts = packet.pts, packet.dts
        if self._summary.decode_delay is None and pts is not None and dts is not None:
            self._summary.decode_delay = float((pts - dts) * self._tick)
        ticks = packet.dts if packet.dts is not None else packet.pts
        if ticks is not None:
            self._position = max(self._position, float(ticks * self._tick - self._origin))
        for chosen, needed in self._skipper.add(packet):
            self._decode_video(chosen, needed)

    def _decode_video(self, packet: av.Packet, needed: bool) -> None:
        if self._request.seconds is not None and self._sampler.reached(self._request.seconds):
            return  # only audio is still missing
        if not needed and packet.pts is not None:
            self._count_frame()
            self._sampler.skip(packet.pts, packet.duration)
            return
        try:
            frames = self._decoder.decode(packet)
        except MemoryError:
            raise
        except (av.FFmpegError, EOFError) as error:
            self._damage()
            _log.debug("%s: video packet skipped: %s", self._info.path, error)
            return
        # Only some containers detect this: MPEG-TS counts its packets.
        if packet.is_corrupt:
            self._damage()
        self._show(frames)

    def _damage(self) -> None:
        self._summary.damaged_frames += 1
        # Decoders conceal damage with neighbouring frames, so no further frame is skipped.
        self._skipper.stop()

    def _count_frame(self) -> None:
        self._frame_count += 1
        self._limit("max_frames", self._frame_count, "it holds {:,} frames")
        # Counted by time stamps, because the declared rate may be the resolution of the clock.
        allowed = self._settings.max_frame_rate
        if self._request.live:
            return
        if self._frame_count > allowed * (self._position + _BURST_SECONDS):
            seconds = max(self._position, float(self._sampler.end))
            if self._frame_count > allowed * (seconds + _BURST_SECONDS):
                found = f"it holds {self._frame_count:,} frames in its first {seconds:.2f} s"
                rate = self._frame_count / seconds if seconds else math.inf
                over_limit(self._path, "max_frame_rate", rate, self._settings, found)

    def _show(self, frames: list[av.VideoFrame]) -> None:
        for frame in frames:
            if self._sampler.empty:
                self._info = replace(self._info, rotation=rotation_of(frame))
            self._count_frame()
            if frame.is_corrupt:
                self._damage()
            if frame.pts is not None:
                if self._last_shown is not None and frame.pts < self._last_shown:
                    self._skipper.stop()  # the display order is not known from the packets
                self._last_shown = frame.pts
            pixels = frame.width * frame.height
            self._limit("max_pixels", pixels, "it holds a frame of {:,} pixels")
            self._sampler.add(frame)
            if self._sampler.ends_after(self._settings.max_seconds):
                end = float(self._sampler.end)
                self._limit("max_seconds", end, "it holds a frame at {:.6g} seconds")

    def _limit(self, name: str, value: float, finding: str) -> None:
        if value > getattr(
            self._settings, name
        ):  # called for every frame, so the message is built only if needed
            over_limit(self._path, name, value, self._settings, finding.format(value))

    def _decode_audio(self, packet: av.Packet) -> None:
        if self._mix is None:
            return
        if packet.pts is not None:
            # Compared with the positions in the file, not with the blocks yielded so far, so that
            # the result does not depend on the block size.
            time = float(self._mix.time_of(packet))
            ahead = max(self._position, self._audio_end) + _VIDEO_BEHIND
            if not self._position - _AUDIO_BEHIND <= time <= ahead:
                self._summary.audio_left_out = (
                    time
                    if self._summary.audio_left_out is None
                    else min(self._summary.audio_left_out, time)
                )
                return
        self._mix.decode(packet)
        self._audio_end = float(self._mix.end)
        # Encoders pad their last packet; half a second of padding is allowed.
        if self._audio_end >= self._settings.max_seconds + 0.5:
            self._limit("max_seconds", self._audio_end, "it holds audio at {:.6g} seconds")
        decided = int(self._audio_end) - self._video_behind
        if decided > 0 and not self._sampler.reached(decided):
            self._hold(decided)

    def _hold(self, second: int) -> None:
        """Holds the latest frame up to this second."""
        for packet, needed in self._skipper.rest():
            self._decode_video(packet, needed)
        self._show(self._decoder.drain((second + self._origin) / self._tick))
        self._sampler.hold(second)

    def _flush(self) -> None:
        """Decodes all pending packets and flushes the decoders."""
        for packet, needed in self._skipper.rest():
            self._decode_video(packet, needed)
        self._show(self._decoder.finish())
        self._sampler.close(self._last_duration)
        if self._mix is not None:
            self._mix.decode(None)

    def _block(self, count: int, total: int | None = None) -> Clip:
        """Makes a clip of the next `count` seconds; `total` is the final length, once known."""
        rate = self._request.frames_per_second
        frames = self._sampler.take(count * rate)  # [T*F, H, W, 3]
        frames = frames.reshape(count, rate, *frames.shape[1:])  # [T, F, H, W, 3]
        if self._mix is None:
            waveform = np.zeros(count * SAMPLE_RATE, np.float32)  # [T * 16000]
        else:
            waveform = self._mix.take(count * SAMPLE_RATE)  # [T * 16000]
        self._emitted += count
        mix = self._mix
        has_sound = mix is not None and not (mix.empty and mix.failure)
        valid = np.ones(count, bool)  # [T]; a file ends with its last second
        if self._emitted != total:
            return Clip(frames, waveform, valid, self._info, has_sound, None)
        return Clip(
            frames,
            waveform,
            valid,
            self._info,
            has_sound,
            self._summary.problem(self._info),
            remark=self._summary.remark(self._info),
            audio_track=mix.audio_track if mix is not None and has_sound else (),
        )


def decode_in_process(request: DecodeRequest) -> Iterator[Clip]:
    """Decodes a file or live stream without a worker process; see `avel_tf.video.decode.decode`.

    Args:
        request: The source and the form of its clips; `settings.isolated` is ignored.

    Yields:
        Blocks of up to `request.block_seconds` seconds.

    Raises:
        MediaError: The source cannot be decoded, or not to its end.
    """
    opened = open_stream(request) if request.live else open_media(request.path, request.settings)
    with opened as container:
        yield from StreamDecoder(container, request).blocks()
