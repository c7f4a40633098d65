"""Time bases of tracks and time zero of a file."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from fractions import Fraction

import av
from av.container import InputContainer

_log = logging.getLogger(__name__)
# Packets to read until the first video packet; a second of AAC.
_PEEKED_PACKETS = 50


def start_of(stream: av.VideoStream | av.AudioStream) -> Fraction | None:
    """Declared start of a track, in seconds on the file's own clock; None if not declared."""
    if stream.start_time is None:
        return None
    return stream.start_time * tick_of(stream)


def tick_of(stream: av.VideoStream | av.AudioStream) -> Fraction:
    """Seconds per tick of a track's clock."""
    # FFmpeg sets a time base for every track; microseconds are its own fallback.
    return stream.time_base or Fraction(1, av.time_base)


def first_packets(container: InputContainer, video: av.VideoStream) -> list[av.Packet]:
    """Reads the first packets of a file just opened, up to the first video packet."""
    packets: list[av.Packet] = []
    try:
        for packet in container.demux(list(container.streams)):
            packets.append(packet)
            if packet.stream is video or len(packets) == _PEEKED_PACKETS:
                break
    except MemoryError:
        raise
    except (av.FFmpegError, OSError, IndexError) as error:
        _log.debug("no first frame: %s", error)  # raised again by the next read
    return packets


def origin_of(
    video: av.VideoStream, audios: Iterable[av.AudioStream], packets: Sequence[av.Packet]
) -> Fraction:
    """Time zero of a file, the start of its first track, in seconds on the file's own clock.

    Args:
        video: The video track.
        audios: The audio tracks that are used.
        packets: Result of `first_packets`.
    """
    starts = [start_of(video), *map(start_of, audios)]
    # For a track whose start is unknown, such as one of few frames, FFmpeg reports the start of the
    # other track.
    for packet in packets:
        if packet.stream is video and packet.pts is not None and not packet.is_discard:
            starts.append(packet.pts * tick_of(video))
    return min((start for start in starts if start is not None), default=Fraction(0))
