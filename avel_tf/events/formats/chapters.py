"""FFmpeg metadata: a chapter per event, to be muxed into Matroska or mp4."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TextIO

from avel_tf.events.formats.text import label_text, milliseconds
from avel_tf.events.result import Result


def write_chapters(results: Iterable[Result], file: TextIO) -> None:
    """Write a chapter per event; a header alone for a video without an event.

    `ffmpeg -i dog.mp4 -i dog.mp4.ffmetadata -map_metadata 1 -map_chapters 1 -codec copy dog.mkv`
    adds them to the video.

    Args:
        results: One result.
        file: A text file.

    Reference:
        FFmpeg documentation, Formats: Metadata.
    """
    (result,) = results
    file.write(";FFMETADATA1\n")
    for event in result.events:
        title = re.sub(r"([=;#\\])", r"\\\1", chapter_title(event.label))
        file.write(
            f"[CHAPTER]\nTIMEBASE=1/1000\nSTART={milliseconds(event.start)}\n"
            f"END={milliseconds(event.end)}\ntitle={title}\n"
        )


def chapter_title(label: str) -> str:
    """A label whose last letter is no backslash: a space follows one.

    FFmpeg takes a backslash at the end of a line for an escaped line end even if it is escaped
    itself, and loses the next chapter.
    """
    title = label_text(label)
    return f"{title} " if title.endswith("\\") else title
