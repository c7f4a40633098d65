"""Baseline predictions that need no model.

They are evaluated by the same code as the model. For multi-label data, reference and prediction are
bool `[T, C]`.
"""

from __future__ import annotations

import numpy as np

from avel_tf.events.labels import Labels


def all_background(reference: np.ndarray, labels: Labels) -> np.ndarray:
    """Background in every segment.

    Args:
        reference: True class of each segment of a clip, int `[T]`.
        labels: The class vocabulary.

    Returns:
        int64 `[T]`.
    """
    if reference.ndim == 2:
        return np.zeros_like(reference)
    return np.full(len(reference), labels.background, np.int64)  # [T]


def majority_class(reference: np.ndarray, labels: Labels, train_counts: np.ndarray) -> np.ndarray:
    """The most frequent event class of the training split in every segment.

    Background is left out even if it is the most frequent class, because that would equal
    `all_background`.

    Args:
        reference: True class of each segment of a clip, int `[T]`.
        labels: The class vocabulary.
        train_counts: Segments of each class in the training split, `[C+1]`, background last. Ties:
            the first class.

    Returns:
        int64 `[T]`; background if the training split has no event.

    Raises:
        ValueError: If there is not one count per class and one for background.
    """
    train_counts = np.asarray(train_counts)
    if train_counts.shape != (len(labels) + 1,):
        raise ValueError(
            f"train_counts must have one count for each of {len(labels)} classes and one for "
            f"background: shape ({len(labels) + 1},). Received: shape={train_counts.shape}."
        )
    best = _most_frequent_event(train_counts)
    if reference.ndim == 2:
        return np.broadcast_to(np.arange(len(labels)) == best, reference.shape)
    return np.full(len(reference), best, np.int64)  # [T]


def right_class_everywhere(reference: np.ndarray, labels: Labels) -> np.ndarray:
    """The true class of the clip in every segment: a perfect classifier that localizes nothing.

    On AVE its segment accuracy is 82 %, because most clips are one event from end to end.

    Args:
        reference: True class of each segment of a clip, int `[T]`.
        labels: The class vocabulary.

    Returns:
        int64 `[T]`: the most frequent event class of the clip (ties: the first in the vocabulary);
        background for a clip without an event. For multi-label data bool `[T, C]`: every class of
        the clip.
    """
    if reference.ndim == 2:
        return np.broadcast_to(reference.any(axis=0), reference.shape)
    counts = np.bincount(reference, minlength=len(labels) + 1)  # [C+1]
    return np.full(len(reference), _most_frequent_event(counts), np.int64)  # [T]


def _most_frequent_event(counts: np.ndarray) -> int:
    background = len(counts) - 1
    return int(counts[:-1].argmax()) if counts[:-1].any() else background
