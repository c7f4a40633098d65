"""The outcomes of a whole split, and what each clip adds to a number that is a ratio of sums."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from avel_tf.evaluation.clip_outcome import ClipOutcome, clip_class, true_events
from avel_tf.evaluation.event_metrics import IOU_THRESHOLD, iou_at_least, match_events
from avel_tf.event_decoder import EventDecoder
from avel_tf.events import SCORE_ROUNDING_ERROR, checked_seconds
from avel_tf.labels import Labels
from avel_tf.second_scores import SecondScores

PLAIN = EventDecoder()


def clip_outcomes(
    reference: Mapping[str, np.ndarray],
    predicted: Mapping[str, np.ndarray],
    labels: Labels,
    *,
    valid: Mapping[str, np.ndarray] | None = None,
    decoder: EventDecoder = PLAIN,
) -> list[ClipOutcome]:
    """Hold what was predicted against the truth, clip by clip.

    Args:
        reference: True class of each second by clip, int `[T]` each, the background last.
        predicted: The same clips' probabilities, float `[T, C+1]` each, or only the class of each
            second, int `[T]`, which counts as certain.
        labels: The class vocabulary.
        valid: Which seconds are counted, by clip, bool `[T]` each; a clip that is missing is valid
            throughout.
        decoder: What makes events of probabilities.

    Returns:
        The outcomes in the order of the clips' names.

    Raises:
        ValueError: If the clips or their lengths differ, an index is not in the vocabulary or a
            probability is none.
    """
    _check_names(set(reference), set(predicted))
    return [
        _outcome(name, reference[name], predicted[name], labels, (valid or {}).get(name), decoder)
        for name in sorted(reference)
    ]


def clip_counts(
    outcomes: Sequence[ClipOutcome], labels: Labels
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """What each clip adds to the numerator and the denominator of the numbers of a split.

    Args:
        outcomes: The clips.
        labels: The class vocabulary.

    Returns:
        By the name of the number two arrays int64 `[V]`; their sums' quotient is the number.
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
        truth, guess = clip.reference[clip.valid], clip.predicted[clip.valid]
        right, background = truth == guess, truth == labels.background
        matched = match_events(clip.true_events, clip.events, iou_at_least(IOU_THRESHOLD))
        rows["segment_accuracy"].append((right.sum(), len(truth)))
        rows["segment_f1"].append(
            (
                2 * (right & ~background).sum(),
                (~background).sum() + (guess != labels.background).sum(),
            )
        )
        rows["event_f1"].append((2 * len(matched), len(clip.true_events) + len(clip.events)))
        # A clip without an event has no class that could be named.
        named = clip.true_class is not None
        rows["clip_accuracy"].append((named and clip.true_class == clip.predicted_class, named))
        rows["background_recall"].append(((right & background).sum(), background.sum()))
    counts = {name: np.array(pairs, np.int64).reshape(-1, 2).T for name, pairs in rows.items()}
    return {name: (part, whole) for name, (part, whole) in counts.items()}


def _outcome(
    name: str,
    reference: np.ndarray,
    predicted: np.ndarray,
    labels: Labels,
    valid: np.ndarray | None,
    decoder: EventDecoder,
) -> ClipOutcome:
    try:
        truth, _, usable = checked_seconds(reference, np.ones(len(reference)), labels, valid)
    except ValueError as error:
        raise ValueError(f"The reference of {name!r} cannot be used. {error}") from error
    if len(truth) != len(predicted):
        raise ValueError(
            f"The reference and the prediction of {name!r} must have as many seconds. "
            f"Received: {len(truth)} and {len(predicted)}."
        )
    try:
        probabilities = as_probabilities(predicted, labels)  # [T, C+1]
        scores = SecondScores.from_probabilities(probabilities)
        plain = PLAIN.decode(scores, labels, usable)
        events = plain if decoder == PLAIN else decoder.decode(scores, labels, usable)
    except ValueError as error:
        raise ValueError(f"The prediction of {name!r} cannot be used. {error}") from error
    return ClipOutcome(
        video=name,
        reference=truth,
        predicted=scores.label_index(labels.background),
        score=np.minimum(scores.score, 1.0),
        valid=usable,
        true_class=clip_class(np.bincount(truth[usable], minlength=len(labels) + 1)[:-1]),
        predicted_class=clip_class(probabilities[usable, :-1].sum(axis=0)),
        true_events=true_events(truth, usable, labels),
        plain_events=plain,
        events=events,
    )


def as_probabilities(predicted: np.ndarray, labels: Labels) -> np.ndarray:
    """Probabilities as they are, or those of a rule that is always certain.

    Args:
        predicted: Probabilities float `[T, C+1]`, or classes int `[T]`.
        labels: The class vocabulary.

    Returns:
        float64 `[T, C+1]`.

    Raises:
        ValueError: If it is neither.
    """
    predicted = np.asarray(predicted)
    classes = len(labels) + 1
    if predicted.ndim == 1:
        index, _, _ = checked_seconds(predicted, np.ones(len(predicted)), labels, None)
        return np.eye(classes)[index]  # [T, C+1]
    if predicted.ndim != 2 or predicted.shape[1] != classes:
        raise ValueError(
            f"A prediction must hold the class of each second, [T], or its probabilities, [T, "
            f"{classes}]. Received: shape={predicted.shape}."
        )
    if not ((predicted >= 0) & (predicted <= 1.0 + SCORE_ROUNDING_ERROR)).all():
        raise ValueError(
            "Probabilities must lie in [0, 1]. Values that are not numbers usually come from a "
            "model whose training diverged."
        )
    return predicted.astype(np.float64)


def _check_names(reference: set[str], predicted: set[str]) -> None:
    differences = {"no prediction": reference - predicted, "no reference": predicted - reference}
    for what, names in differences.items():
        if names:
            raise ValueError(
                f"Reference and prediction must be about the same clips. Received: {what} for "
                f"{len(names)} of them, {min(names)!r} among them. Leave out on both sides what "
                "could not be used, and name it in `skipped`."
            )
