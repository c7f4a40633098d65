"""One event in one video."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Annotation:
    """An event that is both heard and seen from `start` to `end`.

    The times are kept as the annotator wrote them: an end before the start or past the end of the
    file is for `avel audit` to report, and labels no second.

    Args:
        label: The event class.
        start: Seconds from the beginning of the video.
        end: Seconds from the beginning of the video; the moment itself is no longer part of it.
    """

    label: str
    start: float
    end: float
