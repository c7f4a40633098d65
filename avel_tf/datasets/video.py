"""One example of a data set."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from avel_tf.datasets.annotation import Annotation

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Video:
    """One example: a file, the events in it, and the split it belongs to.

    Args:
        id: Unique in the data set.
        path: Where the file is expected; it may be missing.
        annotations: The events, sorted by start, end and label. None: all background.
        split: `"train"`, `"validation"` or `"test"`.
        media_id: The file the example comes from. AVE has files with several rows, each an
            example of its own with its own single event; they share this name, and a split
            without leaks keeps them together.
    """

    id: str
    path: Path
    annotations: tuple[Annotation, ...]
    split: str
    media_id: str
