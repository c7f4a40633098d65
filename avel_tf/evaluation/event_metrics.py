"""Event-based metrics: F1 by overlap or collars, and boundary errors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from avel_tf.evaluation.ratios import f1
from avel_tf.events.event import Event

# The usual threshold of temporal localization (THUMOS 14, ActivityNet), introduced by PASCAL VOC.
IOU_THRESHOLD = 0.5

# True spans [N, 2] and predicted spans [M, 2] to admissible matches, bool [N, M].
Criterion = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class EventScores:
    """Event-based scores of a split.

    Args:
        matched: Number of pairs of a true and a predicted event.
        reference: Number of true events.
        predicted: Number of predicted events.
        onset_error_s: Mean absolute error of the starts, s; None without a pair.
        offset_error_s: Mean absolute error of the ends, s; None without a pair.
    """

    matched: int
    reference: int
    predicted: int
    onset_error_s: float | None
    offset_error_s: float | None

    @property
    def f1(self) -> float | None:
        """F1 of the events, in [0, 1]; None if neither side has an event."""
        return f1(self.matched, self.reference, self.predicted)


def event_scores(
    reference: Sequence[Sequence[Event]],
    predicted: Sequence[Sequence[Event]],
    criterion: Criterion,
) -> EventScores:
    """Match the events of every video and count.

    Args:
        reference: True events of each video.
        predicted: Predicted events of each video, in the same order.
        criterion: Admissible matches: `iou_at_least` or `within_collars`.

    Returns:
        Counts over all videos (micro), and boundary errors of matched events.
    """
    pairs = [
        pair
        for truth, guess in zip(reference, predicted, strict=True)
        for pair in match_events(truth, guess, criterion)
    ]
    errors = np.array(
        [(abs(guess.start - truth.start), abs(guess.end - truth.end)) for truth, guess in pairs]
    )  # [pairs, 2]
    onset, offset = errors.mean(axis=0).tolist() if pairs else (None, None)
    return EventScores(
        matched=len(pairs),
        reference=sum(map(len, reference)),
        predicted=sum(map(len, predicted)),
        onset_error_s=onset,
        offset_error_s=offset,
    )


def event_f1(
    reference: Sequence[Sequence[Event]],
    predicted: Sequence[Sequence[Event]],
    threshold: float = IOU_THRESHOLD,
) -> float | None:
    """F1 of events with the correct class and sufficient intersection over union.

    Args:
        reference: True events of each video.
        predicted: Predicted events of each video, in the same order.
        threshold: Smallest intersection over union of a match, in (0, 1].

    Returns:
        A number in [0, 1]; None if neither side has an event.

    Reference:
        Mesaros et al., Metrics for Polyphonic Sound Event Detection, Applied Sciences 2016:
        event-based, instance-based averaging; the overlap as in Everingham et al., The PASCAL
        Visual Object Classes Challenge, IJCV 2010, along time.
    """
    return event_scores(reference, predicted, iou_at_least(threshold)).f1


def event_f1_collar(
    reference: Sequence[Sequence[Event]],
    predicted: Sequence[Sequence[Event]],
    collar_s: float = 1.0,
    share_of_length: float = 0.2,
) -> float | None:
    """F1 of events with the correct class, and onset and offset within a collar.

    Args:
        reference: True events of each video.
        predicted: Predicted events of each video, in the same order.
        collar_s: Tolerance of both ends, s. The default is the grid of whole seconds.
        share_of_length: The tolerance of the offset is at least this share of the true event's
            length; 0.2 as in the DCASE challenges.

    Returns:
        A number in [0, 1]; None if neither side has an event.

    Reference:
        Mesaros et al., Metrics for Polyphonic Sound Event Detection, Applied Sciences 2016:
        event-based; as sed_eval's EventBasedMetrics computes it with optimal matching.
    """
    return event_scores(reference, predicted, within_collars(collar_s, share_of_length)).f1


def match_events(
    reference: Sequence[Event], predicted: Sequence[Event], criterion: Criterion
) -> list[tuple[Event, Event]]:
    """Maximum matching of true and predicted events of one video.

    Only events of one class are paired, each once. Of the maximum matchings the one with the
    largest overlap is used, so that boundary errors do not depend on the order.

    Args:
        reference: True events.
        predicted: Predicted events.
        criterion: Admissible matches.

    Returns:
        Pairs (true event, predicted event).
    """
    pairs = []
    for label in sorted({event.label for event in reference} & {e.label for e in predicted}):
        truths = [event for event in reference if event.label == label]
        guesses = [event for event in predicted if event.label == label]
        allowed = criterion(spans(truths), spans(guesses))  # [N, M]
        overlap = intersection_over_union(spans(truths), spans(guesses))  # [N, M]
        # The overlaps sum to less than one pair, so the number of pairs comes first.
        gain = allowed * (1.0 + overlap / (1 + min(overlap.shape)))  # [N, M]
        for row, column in zip(*linear_sum_assignment(gain, maximize=True), strict=True):
            if allowed[row, column]:
                pairs.append((truths[row], guesses[column]))
    return pairs


def intersection_over_union(reference: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Intersection over union of every pair of spans.

    Args:
        reference: Start and end in seconds, float `[N, 2]`.
        predicted: Start and end in seconds, float `[M, 2]`.

    Returns:
        float `[N, M]` in [0, 1].
    """
    earliest_end = np.minimum(reference[:, None, 1], predicted[None, :, 1])  # [N, M]
    latest_start = np.maximum(reference[:, None, 0], predicted[None, :, 0])  # [N, M]
    shared = np.maximum(earliest_end - latest_start, 0.0)  # [N, M]
    lengths = np.diff(reference, axis=1) + np.diff(predicted, axis=1).T  # [N, M]
    return shared / (lengths - shared)


def iou_at_least(threshold: float) -> Criterion:
    """Criterion for a minimum intersection over union.

    Args:
        threshold: Smallest intersection over union, in (0, 1].

    Returns:
        The criterion.

    Raises:
        ValueError: If the threshold is outside (0, 1].
    """
    if not 0.0 < threshold <= 1.0:
        raise ValueError(f"An overlap threshold must be in (0, 1]. Received: {threshold}.")
    return lambda reference, predicted: intersection_over_union(reference, predicted) >= threshold


def within_collars(collar_s: float, share_of_length: float) -> Criterion:
    """Criterion for both ends to be within a tolerance.

    Args:
        collar_s: Tolerance of both ends, s.
        share_of_length: The tolerance of the offset is at least this share of the true length.

    Returns:
        The criterion.

    Raises:
        ValueError: If a number is negative.
    """
    if collar_s < 0 or share_of_length < 0:
        raise ValueError(
            "collar_s and share_of_length must not be negative. "
            f"Received: {collar_s} and {share_of_length}."
        )

    def criterion(reference: np.ndarray, predicted: np.ndarray) -> np.ndarray:
        error = np.abs(reference[:, None] - predicted[None])  # [N, M, 2]
        offset_collar = np.maximum(collar_s, share_of_length * np.diff(reference, axis=1))  # [N, 1]
        return (error[..., 0] <= collar_s) & (error[..., 1] <= offset_collar)  # [N, M]

    return criterion


def spans(events: Sequence[Event]) -> np.ndarray:
    """Start and end of each event in seconds.

    Args:
        events: At least one event.

    Returns:
        float `[N, 2]`.
    """
    return np.array([(event.start, event.end) for event in events])  # [N, 2]
