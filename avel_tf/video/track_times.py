"""The clocks of a track and of a file."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from fractions import Fraction

import av
from av.container import InputContainer

_log = logging.getLogger(__name__)
# How far to look for a picture that is shown before the first sound; a second of AAC.
_PEEKED_PACKETS = 50


def start_of(stream: av.VideoStream | av.AudioStream) -> Fraction | None:
    """When a track begins, in seconds on the file's own clock; None when it does not say."""
    if stream.start_time is None:
        return None
    return stream.start_time * tick_of(stream)


def tick_of(stream: av.VideoStream | av.AudioStream) -> Fraction:
    """Seconds per tick of a track's clock."""
    # FFmpeg gives every track that it reads a time base; microseconds are its own fallback.
    return stream.time_base or Fraction(1, av.time_base)


def first_packets(container: InputContainer, video: av.VideoStream) -> list[av.Packet]:
    """The first packets of a file that has just been opened, up to that of the first picture."""
    packets: list[av.Packet] = []
    try:
        for packet in container.demux(list(container.streams)):
            packets.append(packet)
            if packet.stream is video or len(packets) == _PEEKED_PACKETS:
                break
    except MemoryError:
        raise
    except (av.FFmpegError, OSError, IndexError) as error:
        _log.debug("no first picture: %s", error)  # whoever reads on meets it again
    return packets


def origin_of(
    video: av.VideoStream, audios: Iterable[av.AudioStream], packets: Sequence[av.Packet]
) -> Fraction:
    """Time zero of a file, where its first track begins, in seconds on the file's own clock.

    Args:
        video: The video track.
        audios: The audio tracks that are used.
        packets: What `first_packets` gave.
    """
    starts = [start_of(video), *map(start_of, audios)]
    # FFmpeg says of a track whose beginning it does not know, such as one of few pictures, that it
    # begins with the other one.
    for packet in packets:
        if packet.stream is video and packet.pts is not None and not packet.is_discard:
            starts.append(packet.pts * tick_of(video))
    return min((start for start in starts if start is not None), default=Fraction(0))
