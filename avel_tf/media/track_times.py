"""The clock of a track."""

from __future__ import annotations

from fractions import Fraction

import av


def start_of(stream: av.VideoStream | av.AudioStream) -> Fraction | None:
    """When a track begins, in seconds on the file's own clock; None when it does not say."""
    if stream.start_time is None:
        return None
    return stream.start_time * tick_of(stream)


def tick_of(stream: av.VideoStream | av.AudioStream) -> Fraction:
    """Seconds per tick of a track's clock."""
    # FFmpeg gives every track that it reads a time base; microseconds are its own fallback.
    return stream.time_base or Fraction(1, av.time_base)
