"""WebVTT: an event per cue."""

from __future__ import annotations

import html
import re
from pathlib import Path

from avel_tf.datasets.dataset import Annotation, DatasetError
from avel_tf.datasets.reading import decode_text, read_bytes

_TIME = r"(?:(\d+):)?([0-5]\d):([0-5]\d\.\d{3})"
_CUE = re.compile(rf"{_TIME}[ \t]+-->[ \t]+{_TIME}(?:[ \t].*)?")
_SCORE = re.compile(r" \(\d\.\d\d\)$")


def read_vtt(path: Path, video: str) -> dict[str, list[Annotation]]:
    """Read captions.

    The label of an event is the text of its cue without markup and without a score in brackets.

    Args:
        path: The file.
        video: The video of a file whose note does not name it.

    Returns:
        The events of the video.

    Raises:
        DatasetError: The file does not begin with WEBVTT.
    """
    text = decode_text(read_bytes(path), "latin-1").replace("\r\n", "\n").replace("\r", "\n")
    if not text.startswith("WEBVTT"):
        raise DatasetError(f"{path} does not begin with WEBVTT; expected a WebVTT file.")
    events = []
    for block in re.split(r"\n{2,}", text):
        lines = block.strip("\n").split("\n")
        if lines[0] == "NOTE" and len(lines) > 1 and lines[1].startswith("video: "):
            video = html.unescape(lines[1].removeprefix("video: "))
        times = next((match for line in lines[:2] if (match := _CUE.fullmatch(line))), None)
        if times is None:
            continue
        cue = " ".join(lines[lines.index(times[0]) + 1 :])
        label = _SCORE.sub("", html.unescape(re.sub(r"<[^>]*>", "", cue)).strip())
        if label:
            values = times.groups(default="0")
            start, end = (
                round(int(hours) * 3600 + int(minutes) * 60 + float(seconds), 3)
                for hours, minutes, seconds in (values[:3], values[3:])
            )
            events.append(Annotation(label, start, end))
    return {video: events}
