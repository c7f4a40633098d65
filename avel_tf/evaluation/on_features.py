"""Predictions and metrics on a split of a feature store."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from avel_tf.engines.windows import Predict, predict_in_windows
from avel_tf.evaluation.split_predictions import SplitPredictions
from avel_tf.events.postprocessing import Postprocessing
from avel_tf.features.feature_store import FeatureStore, FeatureStoreError

# Segments in memory at once: 143 MB of ResNet-152 and VGGish features. AVE's test split fits.
GROUP_SECONDS = 16_384


def evaluate_features(
    predict: Predict,
    store: FeatureStore,
    split: str,
    *,
    window_seconds: int = 10,
    hop_seconds: int = 5,
    seed: int = 0,
    keep: Callable[[str, np.ndarray], None] | None = None,
    postprocessing: Postprocessing | None = None,
) -> dict[str, Any]:
    """Label every video of a split and compare with its annotations.

    Args:
        predict: The localizer: visual [B, T, Dv], audio [B, T, Da], valid [B, T] to probabilities
            [B, T, C+1].
        store: The features.
        split: `train`, `validation` or `test`.
        window_seconds: Longer videos are labelled in windows of this length.
        hop_seconds: Distance between window starts.
        seed: Seed of the confidence intervals.
        keep: Called with each video's id and its probabilities [T, C+1].
        postprocessing: Fitted on the validation split; its temperature is already applied by
            `predict`.

    Returns:
        Content of `metrics.json`; see `avel_tf.evaluation.metrics.evaluate`.

    Raises:
        FeatureStoreError: If the split has no video.
    """
    predictions = predict_split(
        predict,
        store,
        split,
        window_seconds=window_seconds,
        hop_seconds=hop_seconds,
        multi_label=postprocessing is not None and postprocessing.multi_label,
    )
    if keep:
        for name, one in predictions.probabilities.items():
            keep(name, one)
    return predictions.metrics(postprocessing, seed=seed)


def predict_split(
    predict: Predict,
    store: FeatureStore,
    split: str,
    *,
    window_seconds: int = 10,
    hop_seconds: int = 5,
    multi_label: bool = False,
    all_labels: bool | None = None,
) -> SplitPredictions:
    """Predict every video of a split.

    Args:
        predict: As in `evaluate_features`.
        store: The features.
        split: `train`, `validation` or `test`.
        window_seconds: Longer videos are labelled in windows of this length.
        hop_seconds: Distance between window starts.
        multi_label: True for a multi-label model.
        all_labels: True for a reference with every class of a segment, False for the class of the
            event that began last; `multi_label` if None. Single-label models can be evaluated with
            all labels, for comparison with multi-label models.

    Returns:
        Reference and probabilities, in the order of the store.

    Raises:
        FeatureStoreError: If the split has no video.
    """
    if split in store.weak_splits:
        raise FeatureStoreError(
            f"The split {split!r} of {store.folder} has no event times, "
            "so its segments cannot be evaluated. Choose another split with --split."
        )
    if all_labels is None:
        all_labels = multi_label
    reference: dict[str, np.ndarray] = {}
    valid: dict[str, np.ndarray] = {}
    probabilities: dict[str, np.ndarray] = {}
    for clips in _groups(store, split):
        labelled = predict_in_windows(
            predict,
            [(record["visual"], record["audio"], record["valid"]) for record in clips],
            window_seconds=window_seconds,
            hop_seconds=hop_seconds,
            multi_label=multi_label,
        )
        for record, one in zip(clips, labelled, strict=True):
            name = os.fsdecode(record["id"])
            reference[name] = record["active"] if all_labels else record["targets"]
            valid[name] = record["valid"]
            probabilities[name] = one  # [T, C+1]
    if not reference:
        raise FeatureStoreError(
            f"The split {split!r} of {store.folder} has no videos. Choose another split "
            "with --split."
        )
    return SplitPredictions(
        split=split,
        labels=store.labels,
        reference=reference,
        probabilities=probabilities,
        # AVE's protocol counts ten segments per clip, even if the file is shorter.
        valid=None if store.layout == "ave" else valid,
        train_counts=_class_seconds(store, all_labels),
        skipped=[
            {"video": each["video"], "reason": each["reason"]}
            for each in store.skipped
            if each["split"] == split
        ],
    )


def _groups(store: FeatureStore, split: str) -> Iterator[list[dict[str, Any]]]:
    """Records of a split in groups of bounded size."""
    group: list[dict[str, Any]] = []
    seconds = 0
    for record in store.dataset(split).as_numpy_iterator():
        group.append(record)
        seconds += len(record["valid"])
        if seconds >= GROUP_SECONDS:
            yield group
            group, seconds = [], 0
    if group:
        yield group


def _class_seconds(store: FeatureStore, all_labels: bool) -> np.ndarray | None:
    """Number of segments of each class in the training split, [C+1]."""
    if "train" not in store.manifest["splits"] or not store.count("train"):
        return None
    counts = np.zeros(len(store.labels) + 1, np.int64)
    for record in store.seconds("train").as_numpy_iterator():
        if all_labels:
            counts[:-1] += record["active"].sum(axis=0)
            counts[-1] += (~record["active"].any(axis=1)).sum()
        else:
            counts += np.bincount(record["targets"], minlength=len(counts))
    return counts
