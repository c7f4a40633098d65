"""From events to one label per second."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from avel_tf.datasets.dataset import Annotation
from avel_tf.events.labels import Labels


def segment_labels(annotations: Iterable[Annotation], labels: Labels, seconds: int) -> np.ndarray:
    """Gives every second its class.

    A second s belongs to an event when its middle, s + 0.5, lies in [start, end). For times in
    whole seconds that is AVE's own rule, start <= s < end; a boundary between whole seconds is
    rounded to the nearer one. Where events overlap, the one that began last has the second (a
    bark during a long song is a bark); of those, the one that ends first, then the lower index.

    Args:
        annotations: The events of one video.
        labels: The class vocabulary.
        seconds: T, how many seconds to label.

    Returns:
        int64 `[T]`, 0 to C-1 for an event, C for background.

    Raises:
        ValueError: An event has a class that is not in the vocabulary.

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
    """Gives every second all of its classes.

    Args:
        annotations: The events of one video.
        labels: The class vocabulary.
        seconds: T, how many seconds to label.

    Returns:
        bool `[T, C]`, by the rule of `segment_labels`, but without a choice where events overlap.

    Raises:
        ValueError: An event has a class that is not in the vocabulary.

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
