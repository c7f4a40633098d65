"""Mean average precision of events."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from avel_tf.evaluation.event_metrics import intersection_over_union, spans
from avel_tf.evaluation.ratios import mean_of
from avel_tf.events.event import Event

# Overlaps at which average precision is computed.
IOU_THRESHOLDS = tuple(tenths / 10 for tenths in range(1, 10))


def event_map(
    reference: Sequence[Sequence[Event]],
    predicted: Sequence[Sequence[Event]],
    thresholds: Sequence[float] = IOU_THRESHOLDS,
) -> dict[float, float | None]:
    """Mean average precision of events over the classes, at several overlaps.

    Args:
        reference: True events of each video.
        predicted: Predicted events of each video, in the same order, with their scores.
        thresholds: Smallest intersection over union of a match, each in (0, 1].

    Returns:
        Value in [0, 1] by threshold; None without a true event. Classes without a true event are
        left out.

    Reference:
        Caba Heilbron et al., ActivityNet: A Large-Scale Video Benchmark for Human Activity
        Understanding, CVPR 2015; the interpolation as in Everingham et al., The PASCAL Visual
        Object Classes Challenge: A Retrospective, IJCV 2015, section 3.3 (since 2010).
    """
    names = sorted({event.label for events in reference for event in events})
    by_class = [_average_precisions(reference, predicted, name, thresholds) for name in names]
    return {
        threshold: mean_of([precisions[place] for precisions in by_class])
        for place, threshold in enumerate(thresholds)
    }


def interpolated_average_precision(score: np.ndarray, right: np.ndarray, reference: int) -> float:
    """Area under the interpolated precision-recall curve.

    The precision at a recall is the maximum at this recall or beyond. Predictions with equal scores
    enter the curve together.

    Args:
        score: Score of each prediction, float `[N]`.
        right: True for predictions that match a true event, bool `[N]`.
        reference: Number of true events, at least 1.

    Returns:
        A number in [0, 1].
    """
    if not len(score):
        return 0.0
    order = np.argsort(-score, kind="stable")
    found = np.cumsum(right[order])  # [N]
    ends = np.append(np.flatnonzero(np.diff(score[order])), len(score) - 1)  # of equal scores
    precision = found[ends] / (ends + 1)
    recall = found[ends] / reference
    best = np.maximum.accumulate(precision[::-1])[::-1]
    return float((np.diff(recall, prepend=0.0) * best).sum())


def _average_precisions(
    reference: Sequence[Sequence[Event]],
    predicted: Sequence[Sequence[Event]],
    name: str,
    thresholds: Sequence[float],
) -> list[float]:
    scores: list[float] = []
    right: list[np.ndarray] = []
    count = 0
    for all_truths, all_guesses in zip(reference, predicted, strict=True):
        truths = [event for event in all_truths if event.label == name]
        guesses = [event for event in all_guesses if event.label == name]
        # By descending score, then by start.
        guesses.sort(key=lambda event: (-event.score, event.start))
        count += len(truths)
        scores += [event.score for event in guesses]
        if guesses:
            right.append(_taken(truths, guesses, np.asarray(thresholds)))
    hits = np.concatenate(right) if right else np.zeros((0, len(thresholds)), bool)
    return [
        interpolated_average_precision(np.array(scores), hits[:, place], count)
        for place in range(len(thresholds))
    ]


def _taken(truths: Sequence[Event], guesses: Sequence[Event], thresholds: np.ndarray) -> np.ndarray:
    """Predictions that match a true event, by descending score, bool [M, K]."""
    right = np.zeros((len(guesses), len(thresholds)), bool)  # [M, K]
    if not truths:
        return right
    overlap = intersection_over_union(spans(truths), spans(guesses))  # [N, M]
    free = np.ones((len(truths), len(thresholds)), bool)  # [N, K]
    for place in range(len(guesses)):
        for truth in np.argsort(-overlap[:, place], kind="stable"):
            takes = free[truth] & ~right[place] & (overlap[truth, place] >= thresholds)  # [K]
            right[place] |= takes
            free[truth] &= ~takes
    return right
