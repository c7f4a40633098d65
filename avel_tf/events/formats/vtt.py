"""vtt/: one WebVTT file per video, for players."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

from avel_tf.events.formats.mirror import Mirror
from avel_tf.events.formats.text import printable
from avel_tf.events.result import Result
from avel_tf.utils.durable_files import atomic_text


def write_vtt(results: Iterable[Result], folder: Path) -> Path:
    """Write one WebVTT file per video below `vtt/`, where the videos' own folders are mirrored.

    Each file opens with a note that names its video, status and reason; a video without an event
    has a file without a cue.

    Args:
        results: The results.
        folder: Where the folder `vtt` goes; made when it is missing.

    Returns:
        The folder `vtt`.

    Reference:
        WebVTT: The Web Video Text Tracks Format, W3C, https://www.w3.org/TR/webvtt1/.
    """
    root = folder / "vtt"
    root.mkdir(parents=True, exist_ok=True)
    mirror = Mirror(".vtt")
    for result in results:
        with atomic_text(root / mirror.place(result.video)) as file:
            file.write(_document(result))
    return root


def remove_vtt(folder: Path) -> None:
    """Remove the WebVTT files of an earlier run; anything else below `vtt/` stays.

    Args:
        folder: Where the folder `vtt` is, or none.
    """
    for parent, _, names in os.walk(folder / "vtt", topdown=False):
        for name in names:
            if name.endswith(".vtt"):
                os.unlink(os.path.join(parent, name))
        with contextlib.suppress(OSError):  # it is not empty
            os.rmdir(parent)


def _document(result: Result) -> str:
    status = result.status if result.reason is None else f"{result.status}: {result.reason}"
    blocks = ["WEBVTT", f"NOTE\nvideo: {_escaped(result.video)}\nstatus: {_escaped(status)}"]
    for event in result.events:
        times = f"{_timestamp(event.start)} --> {_timestamp(event.end)}"
        blocks.append(f"{times}\n{_escaped(event.label)} ({event.score:.2f})")
    return "\n\n".join(blocks) + "\n"


def _timestamp(seconds: float) -> str:
    milliseconds = round(seconds * 1000)
    minutes, milliseconds = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{milliseconds // 1000:02d}.{milliseconds % 1000:03d}"


def _escaped(text: str) -> str:
    # A blank line would end the cue and NUL is not allowed, so white space becomes one space and
    # other control characters a question mark. Without a bare > there can be no arrow.
    text = " ".join(printable(text).split())
    text = "".join(letter if letter.isprintable() else "?" for letter in text)
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
