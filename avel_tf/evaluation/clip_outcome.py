"""Labels and predictions of one clip."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from avel_tf.events.event import Event, seconds_to_events
from avel_tf.events.labels import Labels
from avel_tf.events.result import span_record

_SCORE_DECIMALS = 6  # as in results.jsonl


@dataclass(frozen=True, eq=False)
class ClipOutcome:
    """Labels and predictions of one clip, segment by segment.

    Attributes:
        video: Name of the clip.
        reference: True class of each segment, int64 `[T]`, background last; multi-label bool
            `[T, C]`.
        predicted: Predicted class of each segment (argmax), int64 `[T]`; or bool `[T, C]`.
        score: Probability of the (most probable) predicted class, float64 `[T]`.
        valid: Mask of the counted segments, bool `[T]`.
        true_class: The event class with the most counted segments (ties: the first); None without
            an event.
        predicted_class: The event class with the largest sum of probabilities over the counted
            segments; None if all are zero, as for the baseline `all_background`.
        true_events: Events of the reference.
        plain_events: Predicted events by plain postprocessing: runs of one argmax.
        events: Predicted events by the model's postprocessing, as users get them.
    """

    video: str
    reference: np.ndarray
    predicted: np.ndarray
    score: np.ndarray
    valid: np.ndarray
    true_class: int | None
    predicted_class: int | None
    true_events: tuple[Event, ...]
    plain_events: tuple[Event, ...]
    events: tuple[Event, ...]

    @property
    def segments(self) -> int:
        """Number of counted segments."""
        return int(self.valid.sum())

    @property
    def multi_label(self) -> bool:
        """True if a segment may have several classes."""
        return self.reference.ndim == 2

    @property
    def is_right(self) -> np.ndarray:
        """Mask of the segments with the correct set of classes, bool [T]."""
        same = self.reference == self.predicted
        return same.all(axis=1) if self.multi_label else same

    @property
    def right(self) -> int:
        """Number of counted segments that are correct."""
        return int((self.is_right & self.valid).sum())

    def active(self, classes: int) -> tuple[np.ndarray, np.ndarray]:
        """True and predicted event classes of the counted segments, bool `[n, C]` each.

        Args:
            classes: C.
        """
        truth, guess = self.reference[self.valid], self.predicted[self.valid]
        if self.multi_label:
            return truth, guess
        return active_classes(truth, classes), active_classes(guess, classes)

    def to_record(self, labels: Labels) -> dict[str, Any]:
        """Convert to a line of `predictions.jsonl`, with class names.

        Args:
            labels: The class vocabulary.
        """

        def name(index: int | None) -> str | None:
            return None if index is None else labels.name(index)

        def names(classes: np.ndarray) -> list[Any]:
            if self.multi_label:
                return [[labels.name(i) for i in np.flatnonzero(row)] for row in classes]
            return [labels.name(index) for index in classes]

        return {
            "video": self.video,
            "segments": self.segments,
            "right": self.right,
            "true_class": name(self.true_class),
            "predicted_class": name(self.predicted_class),
            "reference": names(self.reference),
            "predicted": names(self.predicted),
            "score": [round(float(score), _SCORE_DECIMALS) for score in self.score],
            "valid": self.valid.tolist(),
            "true_events": [span_record(event) for event in self.true_events],
            "plain_events": [span_record(event) for event in self.plain_events],
            "events": [span_record(event) for event in self.events],
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any], labels: Labels) -> ClipOutcome:
        """Create from a line of `predictions.jsonl`.

        Args:
            record: Result of `to_record`.
            labels: The class vocabulary.

        Raises:
            KeyError, TypeError, ValueError: If the record is invalid.
        """

        def index(name: str | None) -> int | None:
            return None if name is None else labels.index(name)

        def indices(key: str) -> np.ndarray:
            # A multi-label segment is a list of names.
            if any(isinstance(names, list) for names in record[key]):
                classes = np.zeros((len(record[key]), len(labels)), bool)  # [T, C]
                for row, names in zip(classes, record[key], strict=True):
                    row[[labels.index(name) for name in names]] = True
                return classes
            return np.array([labels.index(name) for name in record[key]], np.int64)  # [T]

        def events(key: str) -> tuple[Event, ...]:
            return tuple(Event(**span) for span in record[key])

        return cls(
            video=record["video"],
            reference=indices("reference"),
            predicted=indices("predicted"),
            score=np.array(record["score"], np.float64),
            valid=np.array(record["valid"], bool),
            true_class=index(record["true_class"]),
            predicted_class=index(record["predicted_class"]),
            true_events=events("true_events"),
            plain_events=events("plain_events"),
            events=events("events"),
        )


def clip_class(weights: np.ndarray) -> int | None:
    """Class of a clip as a whole.

    Args:
        weights: Weight of each event class, `[C]`: number of segments, or sum of probabilities.

    Returns:
        The class with the largest weight (ties: the first); None if all weights are zero.
    """
    return int(weights.argmax()) if weights.any() else None


def active_classes(index: np.ndarray, classes: int) -> np.ndarray:
    """Convert class indices to sets of classes: bool `[T, C]`, empty for background.

    Args:
        index: Class of each segment, int `[T]`.
        classes: C.
    """
    return index[:, None] == np.arange(classes)


def true_events(reference: np.ndarray, valid: np.ndarray, labels: Labels) -> tuple[Event, ...]:
    """The events of a reference.

    Args:
        reference: True class of each segment, int `[T]`, or its classes, bool `[T, C]`.
        valid: Mask of the counted segments, bool `[T]`.
        labels: The class vocabulary.

    Returns:
        The events, with scores of 1.
    """
    sure = np.ones(len(reference))
    if reference.ndim == 1:
        return seconds_to_events(reference, sure, labels, valid)
    events = [
        event
        for index, active in enumerate(reference.T)
        for event in seconds_to_events(
            np.where(active, index, labels.background), sure, labels, valid
        )
    ]
    return tuple(sorted(events, key=lambda event: (event.start, event.end)))
