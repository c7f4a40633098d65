"""Types of annotated data sets: annotation, video, data set."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from avel_tf.events.labels import Labels
from avel_tf.utils.text import did_you_mean


class DatasetError(ValueError):
    """A data set cannot be read; the message is a sentence with the file and the line."""


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


@dataclass(frozen=True, repr=False)
class Dataset:
    """Annotated videos with their classes and splits.

    Args:
        root: The folder that the annotations lie in, absolute.
        layout: `"ave"`, `"table"`, `"activitynet"`, `"unav100"` or `"llp"`.
        labels: The class vocabulary.
        videos: All examples, in the order of the annotation files.
        notes: What was understood of annotations that are not written in the documented form, a
            sentence each.
        weak_splits: Splits whose annotations say which events a video holds and not when; they span
            the video.
    """

    root: Path
    layout: str
    labels: Labels
    videos: tuple[Video, ...]
    notes: tuple[str, ...] = ()
    weak_splits: frozenset[str] = frozenset()

    def __repr__(self) -> str:
        counts = ", ".join(f"{len(self.split(name))} {name}" for name in SPLITS)
        return f"<Dataset {str(self.root)!r} ({self.layout}): {counts}; {len(self.labels)} classes>"

    def split(self, name: str) -> tuple[Video, ...]:
        """Hands out the examples of one split.

        Args:
            name: `"train"`, `"validation"` or `"test"`.

        Returns:
            The examples, in the order of the annotation files; none when the split is empty.

        Raises:
            ValueError: There is no split of that name.
        """
        if name not in SPLITS:
            raise ValueError(
                f"There is no split {name!r}; expected one of {', '.join(SPLITS)}."
                f"{did_you_mean(name, SPLITS)}"
            )
        return tuple(video for video in self.videos if video.split == name)
