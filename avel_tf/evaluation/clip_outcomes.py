"""Outcomes of all clips of a split, and their contributions to metrics that are ratios of sums."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from avel_tf.evaluation.clip_outcome import (
    ClipOutcome,
    active_classes,
    clip_class,
    true_events,
)
from avel_tf.evaluation.event_metrics import IOU_THRESHOLD, iou_at_least, match_events
from avel_tf.events.event import SCORE_ROUNDING_ERROR, checked_seconds
from avel_tf.events.event_postprocessor import EventPostprocessor
from avel_tf.events.labels import Labels
from avel_tf.events.postprocessing import Postprocessing

PLAIN = EventPostprocessor()


def clip_outcomes(
    reference: Mapping[str, np.ndarray],
    predicted: Mapping[str, np.ndarray],
    labels: Labels,
    *,
    valid: Mapping[str, np.ndarray] | None = None,
    decoder: EventPostprocessor = PLAIN,
    thresholds: Sequence[float] | None = None,
) -> list[ClipOutcome]:
    """Compare predictions with the reference, clip by clip.

    Args:
        reference: True class of each segment by clip, int `[T]` each, background last; multi-label
            bool `[T, C]` each.
        predicted: Probabilities of the same clips, float `[T, C+1]` each; or classes, int `[T]` or
            bool `[T, C]`, which get probability 1.
        labels: The class vocabulary.
        valid: Mask of the counted segments by clip, bool `[T]` each; all segments of other clips
            are valid.
        decoder: Postprocessing of scores into events.
        thresholds: Smallest probability for each class of a multi-label model, `[C]`.

    Returns:
        The outcomes, sorted by the name of the clip.

    Raises:
        ValueError: If clips or lengths differ, an index is not in the vocabulary, or a probability
            is outside [0, 1].
    """
    _check_names(set(reference), set(predicted))
    postprocessing = Postprocessing(
        events=decoder, thresholds=None if thresholds is None else tuple(thresholds)
    )
    return [
        _outcome(
            name, reference[name], predicted[name], labels, (valid or {}).get(name), postprocessing
        )
        for name in sorted(reference)
    ]


def clip_counts(
    outcomes: Sequence[ClipOutcome], labels: Labels
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Numerator and denominator of each metric, by clip.

    Args:
        outcomes: The clips.
        labels: The class vocabulary.

    Returns:
        Two arrays int64 `[V]` by metric. The metric is the ratio of their sums.
    """
    rows: dict[str, list[tuple[int, int]]] = {
        name: []
        for name in (
            "segment_accuracy",
            "segment_f1",
            "event_f1",
            "clip_accuracy",
            "background_recall",
        )
    }
    for clip in outcomes:
        truth, guess = clip.active(len(labels))  # [n, C]
        right, background = (truth == guess).all(axis=1), ~truth.any(axis=1)  # [n]
        matched = match_events(clip.true_events, clip.events, iou_at_least(IOU_THRESHOLD))
        rows["segment_accuracy"].append((right.sum(), len(truth)))
        rows["segment_f1"].append((2 * (truth & guess).sum(), truth.sum() + guess.sum()))
        rows["event_f1"].append((2 * len(matched), len(clip.true_events) + len(clip.events)))
        # Clips without an event have no class.
        named = clip.true_class is not None
        best = clip.predicted_class
        hit = clip.true_class == best
        if clip.multi_label and best is not None:
            hit = bool(truth[:, best].any())  # any class of the clip is correct
        rows["clip_accuracy"].append((named and hit, named))
        rows["background_recall"].append(((right & background).sum(), background.sum()))
    counts = {name: np.array(pairs, np.int64).reshape(-1, 2).T for name, pairs in rows.items()}
    return {name: (part, whole) for name, (part, whole) in counts.items()}


def _outcome(
    name: str,
    reference: np.ndarray,
    predicted: np.ndarray,
    labels: Labels,
    valid: np.ndarray | None,
    postprocessing: Postprocessing,
) -> ClipOutcome:
    try:
        truth, usable = _checked_reference(reference, labels, valid)
    except ValueError as error:
        raise ValueError(f"Invalid reference for {name!r}. {error}") from error
    if len(truth) != len(predicted):
        raise ValueError(
            f"Reference and prediction of {name!r} must have the same number of segments. "
            f"Received: {len(truth)} and {len(predicted)}."
        )
    try:
        probabilities = as_probabilities(predicted, labels)  # [T, C+1]
        scores = postprocessing.scores(probabilities)
        plain = PLAIN.decode(scores, labels, usable)
        decoder = postprocessing.events
        events = plain if decoder == PLAIN else decoder.decode(scores, labels, usable)
    except ValueError as error:
        raise ValueError(f"Invalid prediction for {name!r}. {error}") from error
    several = truth.ndim == 2
    seconds = truth[usable] if several else active_classes(truth[usable], len(labels))  # [n, C]
    return ClipOutcome(
        video=name,
        reference=truth,
        predicted=scores.active(len(labels)) if several else scores.label_index(labels.background),
        score=np.minimum(scores.score, 1.0),
        valid=usable,
        true_class=clip_class(seconds.sum(axis=0)),
        predicted_class=clip_class(probabilities[usable, :-1].sum(axis=0)),
        true_events=true_events(truth, usable, labels),
        plain_events=plain,
        events=events,
    )


def _checked_reference(
    reference: np.ndarray, labels: Labels, valid: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Reference, int64 `[T]` or bool `[T, C]`, and mask of the counted segments, bool `[T]`."""
    reference = np.asarray(reference)
    index = reference
    if reference.ndim == 2:
        if reference.dtype != bool or reference.shape[1] != len(labels):
            raise ValueError(
                f"Classes per segment must be bool [T, {len(labels)}]. Received: "
                f"{reference.dtype} of shape {reference.shape}."
            )
        index = np.zeros(len(reference), np.int64)
    truth, _, usable = checked_seconds(index, np.ones(len(index)), labels, valid)
    return (reference if reference.ndim == 2 else truth), usable


def as_probabilities(predicted: np.ndarray, labels: Labels) -> np.ndarray:
    """Probabilities, or classes converted to probabilities of 1.

    Args:
        predicted: Probabilities float `[T, C+1]`, or classes int `[T]` or bool `[T, C]`.
        labels: The class vocabulary.

    Returns:
        float64 `[T, C+1]`.

    Raises:
        ValueError: If the prediction is neither.
    """
    predicted = np.asarray(predicted)
    classes = len(labels) + 1
    if predicted.ndim == 1:
        index, _, _ = checked_seconds(predicted, np.ones(len(predicted)), labels, None)
        return np.eye(classes)[index]  # [T, C+1]
    if predicted.dtype == bool and predicted.shape[1:] == (len(labels),):
        return np.column_stack([predicted, ~predicted.any(axis=1)]).astype(np.float64)
    if predicted.ndim != 2 or predicted.shape[1] != classes:
        raise ValueError(
            f"A prediction must be classes [T] or probabilities [T, {classes}]. "
            f"Received: shape={predicted.shape}."
        )
    if not ((predicted >= 0) & (predicted <= 1.0 + SCORE_ROUNDING_ERROR)).all():
        raise ValueError(
            "Probabilities must be in [0, 1]. NaN usually comes from a model whose training "
            "diverged."
        )
    return predicted.astype(np.float64)


def _check_names(reference: set[str], predicted: set[str]) -> None:
    differences = {"no prediction": reference - predicted, "no reference": predicted - reference}
    for what, names in differences.items():
        if names:
            raise ValueError(
                f"Reference and prediction must have the same clips. Received: {what} for "
                f"{len(names)} of them, such as {min(names)!r}. Leave out unusable clips on both "
                "sides and list them in `skipped`."
            )
