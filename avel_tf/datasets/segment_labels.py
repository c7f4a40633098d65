"""Labels of segments, from annotated events."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from avel_tf.datasets.dataset import Annotation
from avel_tf.events.labels import Labels


def segment_labels(annotations: Iterable[Annotation], labels: Labels, seconds: int) -> np.ndarray:
    """Labels each segment with one class.

    Segment s has the class of an event if its middle, s + 0.5, is in [start, end). For times in
    whole seconds that is AVE's rule, start <= s < end; other boundaries are rounded to the nearest
    second. If events overlap, the one with the latest start is used (a bark during a song is a
    bark), then the one with the earliest end, then the one with the lower class index.

    Args:
        annotations: The events of one video.
        labels: The class vocabulary.
        seconds: T, number of segments.

    Returns:
        int64 `[T]`, 0 to C-1 for an event, C for background.

    Raises:
        ValueError: The class of an event is not in the vocabulary.

    Example:
        >>> segment_labels([Annotation("dog", 1, 3)], Labels(["dog"]), 4)
        array([1, 0, 0, 1])
    """
    middles = _middles(seconds)  # [T]
    target = np.full(seconds, labels.background, dtype=np.int64)  # [T]
    events = [(event.start, -event.end, -labels.index(event.label)) for event in annotations]
    for start, minus_end, minus_index in sorted(events):
        target[(start <= middles) & (middles < -minus_end)] = -minus_index
    return target


def active_classes(annotations: Iterable[Annotation], labels: Labels, seconds: int) -> np.ndarray:
    """Labels each segment with all of its classes.

    Args:
        annotations: The events of one video.
        labels: The class vocabulary.
        seconds: T, number of segments.

    Returns:
        bool `[T, C]`, by the rule of `segment_labels`, with all events if some overlap.

    Raises:
        ValueError: The class of an event is not in the vocabulary.

    Example:
        >>> active_classes([Annotation("dog", 1, 3)], Labels(["dog"]), 4)[:, 0]
        array([False,  True,  True, False])
    """
    middles = _middles(seconds)  # [T]
    active = np.zeros((seconds, len(labels)), bool)  # [T, C]
    for event in annotations:
        covered = (event.start <= middles) & (middles < event.end)  # [T]
        active[covered, labels.index(event.label)] = True
    return active


def _middles(seconds: int) -> np.ndarray:
    return np.arange(seconds) + 0.5  # [T]
