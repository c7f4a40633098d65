"""Header of a media file: its tracks, durations and rotation, checked against the limits."""

from __future__ import annotations

import itertools
import logging
import math
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import cast

import av
import numpy as np
from av.container import InputContainer
from av.sidedata.sidedata import SideData

from avel_tf.video.clip import MediaInfo
from avel_tf.video.decode_settings import DecodeSettings
from avel_tf.video.errors import MediaError
from avel_tf.video.source import open_media, over_limit
from avel_tf.video.track_selection import select_audio, select_video
from avel_tf.video.track_times import first_packets, origin_of, tick_of

_log = logging.getLogger(__name__)
# Packets to read until the first frame, whose side data hold the rotation. An audio packet lasts
# about 20 ms, so this covers five seconds of audio before the first frame.
_PACKETS_TO_FIRST_FRAME = 250


def probe(path: str | bytes | os.PathLike, settings: DecodeSettings | None = None) -> MediaInfo:
    """Reads the header of a file and at most its first frame, in the current process.

    Other rooms call `avel_tf.video.decode.read_header`.

    Args:
        path: The file.
        settings: Limits that the file must keep.

    Returns:
        What the file declares.

    Raises:
        MediaError: The file cannot be opened, has no video track, or declares more than the limits.

    Example:
        >>> probe("dog.mp4").duration
        10.0
    """
    settings = settings or DecodeSettings()
    with open_media(path, settings) as container:
        video = choose_video_stream(container, path, settings)
        selection = select_audio(container, path, video, settings, look_ahead=False)
        audios = [cast(av.AudioStream, container.streams[index]) for index in selection.indices]
        packets = first_packets(container, video)
        origin = origin_of(video, audios, packets)
        info = describe(container, path, video, audios[0] if audios else None, origin, packets)
        check_limits(info, video, settings)
        set_up_decoder(video, settings)
        return replace(info, rotation=_first_rotation(container, video, packets))


def choose_video_stream(
    container: InputContainer, path: str | bytes | os.PathLike, settings: DecodeSettings
) -> av.VideoStream:
    """Selects the video track to decode.

    Raises:
        MediaError: There is no video track, only a cover image, or no allowed decoder for it.
    """
    video = select_video(container)
    # A cover image has no time, so it cannot show an event.
    if video is None:
        found = " and ".join(sorted({str(s.type) for s in container.streams})) or "nothing"
        raise MediaError(path, f"it has no video track, only {found}")
    if video.codec_context is None:
        raise MediaError(path, "its video is in a format for which there is no decoder")
    codec = video.codec_context.codec.canonical_name
    if codec not in settings.codecs:
        raise MediaError(
            path,
            f"its video is in the format {codec}, which is not allowed; "
            f"if the file can be trusted, add {codec} to media.codecs",
        )
    return video


def describe(
    container: InputContainer,
    path: str | bytes | os.PathLike,
    video: av.VideoStream,
    audio: av.AudioStream | None,
    origin: Fraction,
    packets: Sequence[av.Packet],
) -> MediaInfo:
    """Collects what the header of an open file declares, without the rotation.

    `origin` and `packets` are results of `avel_tf.video.track_times`.
    """
    video_context = video.codec_context
    audio_context = audio.codec_context if audio is not None else None
    rate = video.average_rate or _guessed_rate(video)
    video_seconds = _declared_seconds(container, video)
    audio_seconds = _declared_seconds(container, audio) if audio is not None else None
    return MediaInfo(
        path=os.fsdecode(path),
        container=container.format.name,
        duration=_length(container, origin, packets, (video_seconds, audio_seconds)),
        width=video_context.width,
        height=video_context.height,
        frame_rate=float(rate) if rate else None,
        video_codec=video_context.codec.canonical_name,
        video_duration=video_seconds,
        audio_codec=audio_context.codec.canonical_name if audio_context is not None else None,
        audio_duration=audio_seconds,
        sample_rate=audio_context.sample_rate if audio_context is not None else None,
        channels=audio_context.layout.nb_channels
        if audio_context is not None and audio_context.layout
        else None,
        # 0 where it is not declared.
        pixel_aspect=float(video.sample_aspect_ratio or 1),
    )


def _length(
    container: InputContainer,
    origin: Fraction,
    packets: Sequence[av.Packet],
    tracks: Iterable[float | None],
) -> float | None:
    """Declared duration in seconds, from the start of the first track to the end of the file."""
    kind, seconds = container.format.name, (container.duration or 0) / av.time_base
    # Matroska's Duration counts from the zero of its clock, that of flv from where the first
    # packet is decoded, that of other containers from the beginning of the first track.
    zero = origin
    if kind.startswith("matroska"):
        zero = Fraction(0)
    elif kind == "flv":
        zero = min((p.dts * p.time_base for p in packets if p.dts is not None), default=origin)
    if 0 < origin - zero < seconds:
        seconds -= float(origin - zero)
    if kind in ("asf", "ogg"):
        # FFmpeg reports the end of the file as the length of every track.
        timed: list[av.VideoStream | av.AudioStream] = [*container.streams.video]
        timed += container.streams.audio
        ends = [float(each.duration * tick_of(each)) for each in timed if each.duration]
        seconds = max([0.0, *(end - float(origin) for end in ends)])
    if kind == "avi":  # its main header counts frames only
        seconds = max([seconds, *(track for track in tracks if track)])
    return seconds or None


def check_limits(info: MediaInfo, video: av.VideoStream, settings: DecodeSettings) -> None:
    """Checks the header against the limits, before a frame is decoded.

    The declared frame rate is not checked: recordings of a browser declare 1,000 frames per second,
    the resolution of their clock. `StreamDecoder` counts the frames instead.

    Raises:
        MediaError: The header exceeds a limit; the message gives the value found and the setting.
    """
    pixels = info.width * info.height
    seconds = max(info.duration or 0, info.video_duration or 0)
    for limit, value, finding in (
        ("max_pixels", pixels, f"its frames have {info.width} x {info.height} = {pixels:,} pixels"),
        ("max_seconds", seconds, f"it declares a length of {seconds:.6g} seconds"),
        ("max_frames", video.frames, f"it declares {video.frames:,} frames"),
    ):
        over_limit(info.path, limit, value, settings, finding)


def _guessed_rate(video: av.VideoStream) -> Fraction | None:
    """Frame rate as FFmpeg guesses it, unless the guess is the resolution of the clock."""
    rate = video.guessed_rate
    return None if rate and rate * tick_of(video) == 1 else rate


def set_up_decoder(video: av.VideoStream, settings: DecodeSettings) -> None:
    """Sets the threads of the video decoder, and a pixel limit in case the header was wrong."""
    # Frame and slice threads together: a third faster on 720p than slices alone.
    video.thread_type = "AUTO"
    video.codec_context.thread_count = settings.threads
    # Stored frames are padded to whole blocks; twice the limit leaves room for that.
    video.codec_context.options = {"max_pixels": str(2 * settings.max_pixels)}


def display_matrix(frame: av.VideoFrame) -> np.ndarray | None:
    """Linear part of a frame's display matrix, `[2, 2]`, or None if there is no matrix.

    A stored point (x, y) is shown at `(x, y) @ matrix`.

    Reference:
        ISO/IEC 14496-12, 8.3.2 (track header box), and FFmpeg's `libavutil/display.h`.
    """
    side_data = frame.side_data.get("DISPLAYMATRIX")
    if side_data is None:
        return None
    matrix = np.frombuffer(bytes(cast(SideData, side_data)), np.int32).reshape(3, 3)
    return matrix[:2, :2].astype(np.int64)  # [2, 2]; a broken file may hold any 32-bit number


def rotation_of(frame: av.VideoFrame) -> int:
    """Clockwise rotation in degrees that turns a decoded frame upright, to a quarter turn."""
    matrix = display_matrix(frame)
    if matrix is None:
        return 0
    (a, b), (c, d) = matrix.tolist()
    mirrored = a * d - b * c < 0
    return round(math.degrees(math.atan2(b, -a if mirrored else a)) / 90) % 4 * 90


def _first_rotation(
    container: InputContainer, video: av.VideoStream, read: Sequence[av.Packet]
) -> int:
    packets = itertools.chain((p for p in read if p.stream is video), container.demux(video))
    try:
        for _, packet in zip(range(_PACKETS_TO_FIRST_FRAME), packets, strict=False):
            for frame in packet.decode():
                return rotation_of(frame)
    except MemoryError:
        raise
    except (av.FFmpegError, EOFError, IndexError) as error:
        _log.debug("no first frame for the rotation: %s", error)
    return 0


def _declared_seconds(
    container: InputContainer, stream: av.VideoStream | av.AudioStream
) -> float | None:
    """Declared duration of one track in seconds; MPEG, ASF and Ogg files declare none."""
    kind = container.format.name
    if kind.startswith("mpeg") or kind in ("asf", "ogg"):
        return None  # FFmpeg's value is an estimate, or that of the whole file
    if kind.startswith("matroska"):
        tag = stream.metadata.get("DURATION", "")
        found = re.fullmatch(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)\s*\0?", tag)
        return int(found[1]) * 3600 + int(found[2]) * 60 + float(found[3]) if found else None
    # The length in the header of an avi counts ticks; of some audio FFmpeg reports it as `frames`.
    ticks = stream.duration or (stream.frames if kind == "avi" else 0)
    return float(ticks * tick_of(stream)) if ticks else None
