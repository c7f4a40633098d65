"""Praat TextGrid: intervals of all tiers, in the long or the short text format."""

from __future__ import annotations

import codecs
import re
from pathlib import Path

from avel_tf.datasets.dataset import Annotation, DatasetError
from avel_tf.datasets.reading import decode_text, read_bytes

# Praat itself reads only these from a text file: strings, numbers and flags. The words and signs
# of the long format are comments.
_TOKEN = re.compile(r'"((?:[^"]|"")*)"|(?<!\S)(-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)(?!\S)|<exists>')


def read_textgrid(path: Path, video: str) -> dict[str, list[Annotation]]:
    """Read the interval tiers; points have no length and are left out.

    Args:
        path: The file.
        video: The video, which the file does not name.

    Returns:
        The events of the video: intervals with text.

    Raises:
        DatasetError: The file is not a TextGrid.
    """
    raw = read_bytes(path)
    text = (
        raw.decode("utf-16", "replace")
        if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        else decode_text(raw, "latin-1")
    )
    tokens = iter(
        match[1].replace('""', '"') if match[1] is not None else match[2]
        for match in _TOKEN.finditer(text)
    )
    events = []
    try:
        kind, content = next(tokens), next(tokens)
        if (kind, content) != ("ooTextFile", "TextGrid"):
            raise ValueError(f"the type is {content!r}")
        next(tokens), next(tokens), next(tokens)  # start, end, <exists>
        for _ in range(int(next(tokens))):
            tier, _, _, _ = next(tokens), next(tokens), next(tokens), next(tokens)
            for _ in range(int(next(tokens))):
                start = float(next(tokens))
                if tier == "IntervalTier":
                    end, label = float(next(tokens)), next(tokens).strip()
                    if label:
                        events.append(Annotation(label, start, end))
                else:
                    next(tokens)
    except (ValueError, TypeError, StopIteration) as error:
        raise DatasetError(f"{path} is not a complete TextGrid: {error}.") from error
    return {video: events}
