"""Segments with events of different classes in a feature store."""

from __future__ import annotations

from dataclasses import dataclass

from avel_tf.features.feature_store import AUGMENTED, FeatureStore


@dataclass(frozen=True)
class Overlaps:
    """Number of segments with events of different classes.

    Attributes:
        split: The split that was counted.
        seconds: Segments with more than one class.
        event_seconds: Segments with at least one class.
        videos: Videos with overlaps.
    """

    split: str
    seconds: int
    event_seconds: int
    videos: int

    def __bool__(self) -> bool:
        return self.seconds > 0

    def message(self, head: str) -> str:
        """Message for a single-label head trained on them.

        Args:
            head: The head, as `model.head` names it.
        """
        return (
            f"Events of different classes overlap in {self.seconds:,} of {self.event_seconds:,} "
            f"segments with an event ({self.videos:,} videos of the split {self.split!r}), and the "
            f"head {head} gives a segment one label: the event that began last. The others count "
            "as errors. Set model.head=multi_label to learn and measure all of them."
        )


def count_overlaps(store: FeatureStore, split: str) -> Overlaps:
    """Count the segments of a split with more than one class.

    Args:
        store: The features.
        split: `train`, `validation` or `test`.

    Returns:
        The counts, without augmented copies.
    """
    seconds = event_seconds = videos = 0
    for record in store.seconds(split).as_numpy_iterator():
        if AUGMENTED.encode() in record["id"]:
            continue
        classes = record["active"].sum(axis=1)[record["valid"]]  # [n]
        seconds += int((classes > 1).sum())
        event_seconds += int((classes > 0).sum())
        videos += bool((classes > 1).any())
    return Overlaps(split, seconds, event_seconds, videos)
