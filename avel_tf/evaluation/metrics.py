"""Everything that stands in metrics.json; docs/metrics.md explains each number."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from avel_tf.evaluation.baselines import all_background, majority_class, right_class_everywhere
from avel_tf.evaluation.bootstrap import segment_accuracy_ci95
from avel_tf.evaluation.event_metrics import IOU_THRESHOLD, event_scores, iou_at_least
from avel_tf.evaluation.segment_metrics import (
    background_recall,
    confusion_matrix,
    per_class,
    segment_accuracy,
    segment_f1,
)
from avel_tf.events import Event, checked_seconds, seconds_to_events
from avel_tf.labels import Labels


class _Clip(NamedTuple):
    reference: np.ndarray  # int64 [T]
    predicted: np.ndarray  # int64 [T]
    valid: np.ndarray  # bool [T]


def evaluate(
    reference: Mapping[str, np.ndarray],
    predicted: Mapping[str, np.ndarray],
    labels: Labels,
    *,
    train_counts: np.ndarray | None,
    valid: Mapping[str, np.ndarray] | None = None,
    skipped: Iterable[Mapping[str, str]] = (),
    seed: int = 0,
) -> dict[str, Any]:
    """Measure the predictions for a split: the contents of metrics.json.

    Args:
        reference: True class of each second by clip, int `[T]` each, the background last.
        predicted: Predicted class of each second of the same clips, int `[T]` each.
        labels: The class vocabulary.
        train_counts: Seconds of each class in the training split, `[C+1]`, background last, for
            the baseline `majority_class`; None where there is no training split, which leaves
            that baseline None.
        valid: Which seconds could be decoded, by clip, bool `[T]` each; a clip that is missing is
            valid throughout. Other seconds are not counted, and end events on both sides.
        skipped: The clips of the split that could not be used: `video` and `reason` of each.
        seed: Seed of the confidence interval.

    Returns:
        A dictionary that `json.dumps` takes, with None where a number has no value. The order of
        the clips does not change a byte of it.

    Raises:
        ValueError: If the clips or their lengths differ, or an index is not in the vocabulary.

    Example:
        >>> truth, guess = {"dog": np.array([0, 1])}, {"dog": np.array([0, 0])}
        >>> evaluate(truth, guess, Labels(["Bark"]), train_counts=None)["segment_accuracy"]
        0.5

    Reference:
        Tian et al., Audio-Visual Event Localization in Unconstrained Videos, ECCV 2018 (segment
        accuracy); Mesaros et al., Metrics for Polyphonic Sound Event Detection, Applied Sciences
        2016 (segment and event F1).
    """
    clips = _clips(reference, predicted, labels, valid or {})
    confusion = _confusion(clips, labels)
    headline = _headline(clips, labels)
    return {
        "segments": int(confusion.sum()),
        "segment_accuracy": headline["segment_accuracy"],
        "segment_accuracy_ci95": segment_accuracy_ci95(
            [int(((clip.reference == clip.predicted) & clip.valid).sum()) for clip in clips],
            [int(clip.valid.sum()) for clip in clips],
            seed=seed,
        ),
        **{key: value for key, value in headline.items() if key != "segment_accuracy"},
        "per_class": per_class(confusion, labels),
        "confusion": confusion.tolist(),
        "baselines": _baselines(clips, labels, train_counts),
        "videos": len(clips),
        "skipped": [dict(item) for item in skipped],
    }


def _clips(
    reference: Mapping[str, np.ndarray],
    predicted: Mapping[str, np.ndarray],
    labels: Labels,
    valid: Mapping[str, np.ndarray],
) -> list[_Clip]:
    _check_names(set(reference), set(predicted))
    clips = []
    for name in sorted(reference):
        arrays = []
        for what, index in (("reference", reference[name]), ("prediction", predicted[name])):
            try:
                arrays.append(checked_seconds(index, np.ones(len(index)), labels, valid.get(name)))
            except ValueError as error:
                raise ValueError(f"The {what} of {name!r} cannot be used. {error}") from error
        (truth, _, usable), (guess, _, _) = arrays
        if len(truth) != len(guess):
            raise ValueError(
                f"The reference and the prediction of {name!r} must have as many seconds. "
                f"Received: {len(truth)} and {len(guess)}."
            )
        clips.append(_Clip(truth, guess, usable))
    return clips


def _check_names(reference: set[str], predicted: set[str]) -> None:
    differences = {"no prediction": reference - predicted, "no reference": predicted - reference}
    for what, names in differences.items():
        if names:
            raise ValueError(
                f"Reference and prediction must be about the same clips. Received: {what} for "
                f"{len(names)} of them, {min(names)!r} among them. Leave out on both sides what "
                "could not be used, and name it in `skipped`."
            )


def _confusion(clips: Sequence[_Clip], labels: Labels) -> np.ndarray:
    nothing = [np.zeros(0, np.int64)]  # concatenate wants at least one
    return confusion_matrix(
        np.concatenate(nothing + [clip.reference[clip.valid] for clip in clips]),
        np.concatenate(nothing + [clip.predicted[clip.valid] for clip in clips]),
        labels,
    )  # [C+1, C+1]


def _headline(clips: Sequence[_Clip], labels: Labels) -> dict[str, float | None]:
    confusion = _confusion(clips, labels)
    events = event_scores(
        [_events(clip.reference, clip.valid, labels) for clip in clips],
        [_events(clip.predicted, clip.valid, labels) for clip in clips],
        iou_at_least(IOU_THRESHOLD),
    )
    return {
        "segment_accuracy": segment_accuracy(confusion),
        "segment_f1": segment_f1(confusion),
        "event_f1": events.f1,
        "background_recall": background_recall(confusion),
        "onset_error_s": events.onset_error_s,
        "offset_error_s": events.offset_error_s,
    }


def _events(label_index: np.ndarray, valid: np.ndarray, labels: Labels) -> tuple[Event, ...]:
    # The score of an event takes no part in matching.
    return seconds_to_events(label_index, np.ones(len(label_index)), labels, valid)


def _baselines(
    clips: Sequence[_Clip], labels: Labels, train_counts: np.ndarray | None
) -> dict[str, dict[str, float | None] | None]:
    def scores(predict: Callable[[np.ndarray], np.ndarray]) -> dict[str, float | None]:
        return _headline(
            [clip._replace(predicted=predict(clip.reference)) for clip in clips], labels
        )

    return {
        "all_background": scores(lambda reference: all_background(reference, labels)),
        "majority_class": None
        if train_counts is None
        else scores(lambda reference: majority_class(reference, labels, train_counts)),
        "right_class_everywhere": scores(
            lambda reference: right_class_everywhere(reference, labels)
        ),
    }
