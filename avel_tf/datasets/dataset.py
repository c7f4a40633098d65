"""Types of annotated data sets: annotation, video, data set."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from avel_tf.events.labels import Labels
from avel_tf.utils.text import did_you_mean


class DatasetError(ValueError):
    """A data set that cannot be read; the message names the file and the line."""


@dataclass(frozen=True)
class Annotation:
    """An audio-visual event from `start` to `end`.

    Times are kept as annotated. An end before the start or after the end of the file labels no
    segment; `avel audit` reports it.

    Args:
        label: The event class.
        start: Seconds from the beginning of the video.
        end: Seconds from the beginning of the video, exclusive.
    """

    label: str
    start: float
    end: float


SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Video:
    """One example of a data set: a file, its events and its split.

    Args:
        id: Unique in the data set.
        path: Expected path of the file, which may be missing.
        annotations: The events, sorted by start, end and label; empty if all is background.
        split: `"train"`, `"validation"` or `"test"`.
        media_id: Identifies the file. In AVE several examples of one event each may share a file;
            a split without leaks keeps them together.
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
        root: Absolute path of the folder with the annotations.
        layout: `"ave"`, `"table"`, `"activitynet"`, `"unav100"` or `"llp"`.
        labels: The class vocabulary.
        videos: All examples, in the order of the annotation files.
        notes: A sentence for each deviation from the documented form of the annotations, with its
            interpretation.
        weak_splits: Splits whose annotations name the events of a video without times and span
            the whole video.
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
        """Returns the examples of one split.

        Args:
            name: `"train"`, `"validation"` or `"test"`.

        Returns:
            The examples, in the order of the annotation files.

        Raises:
            ValueError: The name is not that of a split.
        """
        if name not in SPLITS:
            raise ValueError(
                f"There is no split {name!r}; expected one of {', '.join(SPLITS)}."
                f"{did_you_mean(name, SPLITS)}"
            )
        return tuple(video for video in self.videos if video.split == name)
