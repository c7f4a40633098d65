"""Baseline predictions that need no model.

All three are predictions over the same seconds, scored by the same code as the model. Where a
second may have several classes, reference and prediction are bool `[T, C]`.
"""

from __future__ import annotations

import numpy as np

from avel_tf.events.labels import Labels


def all_background(reference: np.ndarray, labels: Labels) -> np.ndarray:
    """Background at every second: what a model scores that never finds an event.

    Args:
        reference: True class of each second of a clip, int `[T]`.
        labels: The class vocabulary.

    Returns:
        int64 `[T]`.
    """
    if reference.ndim == 2:
        return np.zeros_like(reference)
    return np.full(len(reference), labels.background, np.int64)  # [T]


def majority_class(reference: np.ndarray, labels: Labels, train_counts: np.ndarray) -> np.ndarray:
    """The most frequent event class of the training split at every second.

    The background takes no part, also where it is the most frequent of all: that would be
    `all_background` once more.

    Args:
        reference: True class of each second of a clip, int `[T]`.
        labels: The class vocabulary.
        train_counts: Seconds of each class in the training split, `[C+1]`, background last; of
            equals the first counts.

    Returns:
        int64 `[T]`; background if the training split has no event at all.

    Raises:
        ValueError: If there is not one count per class and one for the background.
    """
    train_counts = np.asarray(train_counts)
    if train_counts.shape != (len(labels) + 1,):
        raise ValueError(
            f"train_counts must hold the seconds of each of {len(labels)} classes, then those of "
            f"the background: shape ({len(labels) + 1},). Received: shape={train_counts.shape}."
        )
    best = _most_frequent_event(train_counts)
    if reference.ndim == 2:
        return np.broadcast_to(np.arange(len(labels)) == best, reference.shape)
    return np.full(len(reference), best, np.int64)  # [T]


def right_class_everywhere(reference: np.ndarray, labels: Labels) -> np.ndarray:
    """The clip's own class at every second: a perfect classifier that localizes nothing.

    On AVE this scores 82 % segment accuracy: most of its clips are one event from end to end.

    Args:
        reference: True class of each second of a clip, int `[T]`.
        labels: The class vocabulary.

    Returns:
        int64 `[T]`: the clip's most frequent event class (of equals the first in the vocabulary);
        background for a clip without an event. Of several classes bool `[T, C]`: every class that
        occurs in the clip.
    """
    if reference.ndim == 2:
        return np.broadcast_to(reference.any(axis=0), reference.shape)
    counts = np.bincount(reference, minlength=len(labels) + 1)  # [C+1]
    return np.full(len(reference), _most_frequent_event(counts), np.int64)  # [T]


def _most_frequent_event(counts: np.ndarray) -> int:
    background = len(counts) - 1
    return int(counts[:-1].argmax()) if counts[:-1].any() else background
