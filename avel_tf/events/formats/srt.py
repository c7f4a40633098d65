"""SubRip: a numbered subtitle per event, for video players and editors."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TextIO

from avel_tf.events.formats.vtt import timestamp
from avel_tf.events.result import Result
from avel_tf.utils.text import one_line


def write_srt(results: Iterable[Result], file: TextIO) -> None:
    """Write subtitles, one per event; nothing for a video without an event.

    Args:
        results: One result.
        file: A text file.

    Reference:
        Library of Congress, SubRip Subtitle format, fdd000569.
    """
    (result,) = results
    for number, event in enumerate(result.events, start=1):
        start, end = (timestamp(each, point=",") for each in (event.start, event.end))
        # There is no escape: players read <i> as a tag.
        label = one_line(event.label).replace("<", "\u2039").replace(">", "\u203a")
        file.write(f"{number}\n{start} --> {end}\n{label} ({event.score:.2f})\n\n")
