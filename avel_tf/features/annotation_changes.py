"""Differences between a feature store and the annotations of its data set."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from avel_tf.datasets import Annotation, Dataset, active_classes, segment_labels
from avel_tf.events.labels import Labels
from avel_tf.features.feature_store import AUGMENTED, SPLITS, FeatureStore, FeatureStoreWriter
from avel_tf.features.features import Features

# Videos named in a message; further ones are counted.
_NAMED = 3


@dataclass(frozen=True)
class AnnotationChanges:
    """Differences between a store and its annotations, by video id.

    Attributes:
        classes: A sentence about classes that were added, removed or reordered.
        added: Videos missing in the store.
        removed: Videos missing in the annotations.
        moved: Videos in another split.
        relabelled: Videos with another label in some segment.
    """

    classes: str | None = None
    added: Sequence[str] = field(default_factory=list)
    removed: Sequence[str] = field(default_factory=list)
    moved: Sequence[str] = field(default_factory=list)
    relabelled: Sequence[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.classes or self.relabelled or not self.labels_only)

    @property
    def labels_only(self) -> bool:
        """True if videos and splits are the same, so that the features can be kept."""
        return not (self.added or self.removed or self.moved)

    def __str__(self) -> str:
        parts = [self.classes] if self.classes else []
        for videos, what in (
            (self.added, "added"),
            (self.removed, "removed"),
            (self.moved, "in another split"),
            (self.relabelled, "with other labels"),
        ):
            if videos:
                named = ", ".join(videos[:_NAMED]) + (", …" if len(videos) > _NAMED else "")
                parts.append(f"{len(videos)} video{'s' * (len(videos) > 1)} {what} ({named})")
        return "; ".join(parts)


def annotation_changes(store: FeatureStore, dataset: Dataset) -> AnnotationChanges:
    """Compares a feature store with the data set as it is annotated now.

    All labels of each segment are compared. A boundary that moved without changing a segment is no
    difference.

    Args:
        store: The features, of all splits.
        dataset: The data set, read with the settings that the store was made with.

    Returns:
        The differences.
    """
    expected = {video.id: video for video in dataset.videos}
    known = {each["video"]: each["split"] for each in store.skipped}
    relabelled = []
    for split in store.manifest["splits"]:
        for record in store.seconds(split).as_numpy_iterator():
            name = os.fsdecode(record["id"])
            if AUGMENTED in name and name not in expected:
                continue
            known[name] = split
            if name in expected:
                targets = record["targets"]  # [T]
                events = expected[name].annotations
                now = segment_labels(events, dataset.labels, len(targets))  # [T]
                active = _as_stored(events, now, dataset.labels)  # [T, C]
                if _names(store.labels, targets, record["active"]) != _names(
                    dataset.labels, now, active
                ):
                    relabelled.append(name)
    moved = [name for name, split in known.items() if _split(expected, name) not in (None, split)]
    return AnnotationChanges(
        classes=_changed_classes(store.labels, dataset.labels),
        added=[name for name in expected if name not in known],
        removed=[name for name in known if name not in expected],
        moved=moved,
        relabelled=relabelled,
    )


def relabel(store: FeatureStore, dataset: Dataset) -> FeatureStore:
    """Writes a feature store again with the present labels and the same features.

    Args:
        store: The features, float32 or float16.
        dataset: The same videos in the same splits.

    Returns:
        The new store, which replaces the old one.
    """
    videos = {video.id: video for video in dataset.videos}
    writer = FeatureStoreWriter(
        store.folder,
        recipe=store.recipe,
        labels=dataset.labels,
        layout=store.layout,
        dtype=store.dtype,
        leaks=store.manifest.get("leaks", ()),
        source=store.manifest.get("source"),
        weak_splits=dataset.weak_splits,
        engine=store.engine,
    )

    def records(split: str) -> Iterator[tuple[str, Features, Sequence[Annotation], np.ndarray]]:
        for record in store.dataset(split).as_numpy_iterator():
            name = os.fsdecode(record["id"])
            video = videos[name if name in videos else name.split(AUGMENTED)[0]]
            features = Features(record["visual"], record["audio"], record["valid"])
            targets = segment_labels(video.annotations, dataset.labels, len(features.valid))
            yield name, features, video.annotations, targets

    with writer:
        for split in SPLITS:
            if split in store.manifest["splits"]:
                writer.write_split(split, records(split), expected=store.count(split))
        for each in store.skipped:
            writer.skip(each["video"], each["split"], each["reason"])
        for each in store.manifest["remarks"]:
            writer.remark(each["video"], each["split"], each["reason"])
    return FeatureStore(store.folder)


def _split(expected: dict, name: str) -> str | None:
    return expected[name].split if name in expected else None


def _names(
    labels: Labels, targets: np.ndarray, active: np.ndarray
) -> list[tuple[str, frozenset[str]]]:
    """Names of the single label of each segment, int [T], and of all its classes, bool [T, C]."""
    return [
        (labels.name(int(index)), frozenset(labels.name(int(each)) for each in np.flatnonzero(row)))
        for index, row in zip(targets, active, strict=True)
    ]


def _as_stored(events: Sequence[Annotation], targets: np.ndarray, labels: Labels) -> np.ndarray:
    """Classes of each segment, bool [T, C], with times rounded to microseconds as in records."""
    rounded = [Annotation(each.label, round(each.start, 6), round(each.end, 6)) for each in events]
    active = active_classes(rounded, labels, len(targets))  # [T, C]
    return active | (targets[:, None] == np.arange(len(labels)))


def _changed_classes(before: Labels, now: Labels) -> str | None:
    if before == now:
        return None
    added = [name for name in now.names if name not in before.names]
    removed = [name for name in before.names if name not in now.names]
    parts = [f"classes added: {', '.join(added)}"] * bool(added)
    parts += [f"classes removed: {', '.join(removed)}"] * bool(removed)
    return "; ".join(parts) or "the classes are in another order"
