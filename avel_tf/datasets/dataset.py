"""An annotated data set."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from avel_tf.datasets.video import SPLITS, Video
from avel_tf.events.labels import Labels, did_you_mean


@dataclass(frozen=True)
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
