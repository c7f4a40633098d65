"""Copies of a part of a file without decoding it."""

from __future__ import annotations

import itertools
import logging
import os
from collections import defaultdict
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av
from av.container import InputContainer

from avel_tf.video.decode_settings import DecodeSettings
from avel_tf.video.errors import MediaError
from avel_tf.video.packets import read_packets
from avel_tf.video.probe import check_limits, choose_video_stream, describe, probe
from avel_tf.video.source import open_media
from avel_tf.video.track_selection import select_audio
from avel_tf.video.track_times import first_packets, origin_of, tick_of

_log = logging.getLogger(__name__)
# Containers with an index of key frames, whose packets need no change for mp4.
_SOURCES = ("mov", "matroska")
# Codecs that mp4 holds and common players decode there.
_VIDEO_CODECS = ("h264", "hevc", "av1", "vp9")
_AUDIO_CODECS = ("aac", "mp3", "ac3", "eac3", "alac", "flac", "opus")


def copy_span(
    path: str | bytes | os.PathLike,
    settings: DecodeSettings,
    out: str,
    *,
    start: float,
    end: float,
    tolerance: float,
) -> float | None:
    """Copies the packets of a span to an mp4 file, if a key frame is near its start.

    The copy begins with the last key frame at or before `start`. It has the frames and the audio of
    the source bit for bit, with its rotation and pixel aspect ratio. Frames after
    `end` are left out, unless earlier ones refer to them.

    Args:
        path: The file.
        settings: Limits and codecs.
        out: File to write, which is not renamed: the caller passes a temporary one.
        start: Start in seconds.
        end: End in seconds.
        tolerance: Seconds by which the key frame may be before the start.

    Returns:
        Time of the key frame, in seconds of the source. None if the span cannot be copied: no key
        frame is near, mp4 does not hold the codecs, or the file is damaged there.

    Raises:
        MediaError: The file cannot be opened, or the header declares more than the limits.
    """
    with open_media(path, settings) as container:
        video = choose_video_stream(container, path, settings)
        choice = select_audio(container, path, video, settings, look_ahead=True)
        streams: list[Any] = [video, *(container.streams[index] for index in choice.indices)]
        packets = first_packets(container, video)
        origin = origin_of(video, streams[1:], packets)
        info = describe(
            container, path, video, streams[1] if streams[1:] else None, origin, packets
        )
        check_limits(info, video, settings)
        known = info.video_codec in _VIDEO_CODECS and info.audio_codec in (None, *_AUDIO_CODECS)
        # Several audio tracks are mixed.
        if not known or len(streams) > 2 or not info.container.startswith(_SOURCES):
            return None
        try:
            first, found = _from_key_frame(container, streams, origin + Fraction(start))
            began = first - origin
            if not 0 <= Fraction(start) - began <= Fraction(tolerance):
                return None
            _write(found, streams, out, first, origin + Fraction(end))
        except (av.FFmpegError, OSError, EOFError, _NoKeyFrame) as error:
            _log.debug("%s cannot be copied: %s", info.path, error)
            return None
    try:
        copied = probe(out, settings)
    except MediaError as error:
        _log.debug("the copy cannot be read: %s", error)
        return None
    names = ("width", "height", "video_codec", "audio_codec", "pixel_aspect", "rotation")
    source = probe(path, settings)
    return float(began) if all(getattr(copied, n) == getattr(source, n) for n in names) else None


class _NoKeyFrame(Exception):
    """There is no key frame before the start."""


def _from_key_frame(
    container: InputContainer, streams: list[Any], start: Fraction
) -> tuple[Fraction, Iterator[av.Packet]]:
    """Time of the last key frame at or before a time, on the file's clock, and the packets then."""
    video = streams[0]
    tick = tick_of(video)
    container.seek(int(start / tick), stream=video, backward=True)
    reader = read_packets(container, streams)
    found: list[av.Packet] = []
    first: Fraction | None = None
    for packet in reader:
        if packet.stream is video:
            if packet.dts is None or packet.pts is None:
                raise _NoKeyFrame("a packet has no time")
            if packet.is_keyframe and packet.pts * tick <= start:
                # Audio is stored up to seconds before its frame.
                found = [each for each in found if each.stream is not video]
                first = packet.pts * tick
            elif packet.dts * tick > start:
                found.append(packet)
                break
        found.append(packet)
    if first is None:
        raise _NoKeyFrame("no key frame is before the start")
    return first, itertools.chain(found, reader)


def _write(
    packets: Iterator[av.Packet], streams: list[Any], out: str, start: Fraction, end: Fraction
) -> None:
    """Muxes the packets from `start` to `end`, on the file's clock."""
    done: set[int] = set()
    waiting: dict[int, list[av.Packet]] = defaultdict(list)
    with av.open(out, "w", format="mp4", options={"movflags": "+faststart"}) as target:
        copies = {
            each.index: target.add_stream_from_template(each, opaque=True) for each in streams
        }
        for packet in packets:
            index, tick = packet.stream.index, tick_of(packet.stream)
            if packet.pts is None or packet.dts is None or index in done:
                continue
            if packet.dts * tick >= end:
                done.add(index)
                if len(done) == len(streams):
                    break
                continue
            # Frames shown before the key frame refer to frames before it.
            if packet.pts * tick < start:
                continue
            over = packet.pts * tick >= end
            shift = round(start / tick)
            packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
            packet.stream = copies[index]
            # A frame shown after the end is copied if one before the end may refer to it.
            waiting[index].append(packet)
            if not over:
                target.mux(waiting.pop(index))
