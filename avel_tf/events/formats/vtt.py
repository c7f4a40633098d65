"""WebVTT: a cue per event, for video players."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TextIO

from avel_tf.events.result import Result
from avel_tf.utils.text import one_line


def write_vtt(results: Iterable[Result], file: TextIO) -> None:
    """Write captions with one cue per event.

    The file begins with a note that names the video, its status and its reason. A video without an
    event has no cue.

    Args:
        results: One result.
        file: A text file.

    Reference:
        WebVTT: The Web Video Text Tracks Format, W3C, https://www.w3.org/TR/webvtt1/.
    """
    (result,) = results
    status = result.status if result.reason is None else f"{result.status}: {result.reason}"
    blocks = ["WEBVTT", f"NOTE\nvideo: {_escaped(result.video)}\nstatus: {_escaped(status)}"]
    for event in result.events:
        times = f"{timestamp(event.start)} --> {timestamp(event.end)}"
        blocks.append(f"{times}\n{_escaped(event.label)} ({event.score:.2f})")
    file.write("\n\n".join(blocks) + "\n")


def timestamp(seconds: float, *, point: str = ".") -> str:
    """A time as `01:23:45.678`."""
    minutes, milliseconds = divmod(round(seconds * 1000), 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{milliseconds // 1000:02d}{point}{milliseconds % 1000:03d}"


def _escaped(text: str) -> str:
    # An arrow ends a cue; without a bare > there is none.
    return one_line(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
