"""The metrics of metrics.json, documented in docs/reference/metrics.md."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from avel_tf.evaluation.average_precision import event_map
from avel_tf.evaluation.baselines import all_background, majority_class, right_class_everywhere
from avel_tf.evaluation.bootstrap import DRAWS, drawn_ratios, interval
from avel_tf.evaluation.calibration import calibration
from avel_tf.evaluation.clip_outcome import ClipOutcome
from avel_tf.evaluation.clip_outcomes import as_probabilities, clip_counts, clip_outcomes
from avel_tf.evaluation.event_metrics import IOU_THRESHOLD, event_scores, iou_at_least
from avel_tf.evaluation.ratios import f1, mean_of, ratio
from avel_tf.events.event import Event
from avel_tf.events.labels import Labels
from avel_tf.events.postprocessing import Postprocessing

# Key of the mean over classes in `per_class`.
MACRO = "macro average"
# Metrics with an interval, all from the same draws of clips.
WITH_INTERVAL = ("segment_accuracy", "event_f1", "clip_accuracy")


def evaluate(
    reference: Mapping[str, np.ndarray],
    predicted: Mapping[str, np.ndarray],
    labels: Labels,
    *,
    train_counts: np.ndarray | None,
    valid: Mapping[str, np.ndarray] | None = None,
    skipped: Iterable[Mapping[str, str]] = (),
    seed: int = 0,
    postprocessing: Postprocessing | None = None,
) -> dict[str, Any]:
    """Compute the content of metrics.json for a split.

    Args:
        reference: True class of each segment by clip, int `[T]` each, background last; multi-label
            bool `[T, C]` each.
        predicted: Probabilities of the same clips, float `[T, C+1]` each; or classes, int `[T]`
            each, which get probability 1.
        labels: The class vocabulary.
        train_counts: Segments of each class in the training split, `[C+1]`, background last, for
            the baseline `majority_class`; None without a training split.
        valid: Mask of the decoded segments by clip, bool `[T]` each; all segments of other clips
            are valid. Invalid segments are not counted, and end events on both sides.
        skipped: Clips of the split that could not be used, with `video` and `reason`.
        seed: Seed of the confidence intervals.
        postprocessing: Fitted on the validation split; its temperature is already applied to the
            probabilities. None for plain postprocessing.

    Returns:
        A dictionary for `json.dumps`, with None for undefined values. It does not depend on the
        order of the clips.

    Raises:
        ValueError: If clips or lengths differ, an index is not in the vocabulary, or a probability
            is outside [0, 1].

    Example:
        >>> truth, guess = {"dog": np.array([0, 1])}, {"dog": np.array([0, 0])}
        >>> evaluate(truth, guess, Labels(["Bark"]), train_counts=None)["segment_accuracy"]
        0.5

    Reference:
        Tian et al., Audio-Visual Event Localization in Unconstrained Videos, ECCV 2018 (segment
        accuracy); Mesaros et al., Metrics for Polyphonic Sound Event Detection, Applied Sciences
        2016 (segment and event F1); Caba Heilbron et al., ActivityNet, CVPR 2015 (mean average
        precision).
    """
    postprocessing = postprocessing or Postprocessing()
    clips = clip_outcomes(
        reference,
        predicted,
        labels,
        valid=valid,
        decoder=postprocessing.events,
        thresholds=postprocessing.thresholds,
    )
    several = any(clip.multi_label for clip in clips)
    counts = clip_counts(clips, labels)
    numbers = _headline(clips, labels, [clip.events for clip in clips])
    classes = _per_class(clips, labels)
    if several:
        numbers |= {"segment_f1_macro": classes[MACRO]["f1"], "segment_map": None}
        if not any(_is_certain(predicted[clip.video]) for clip in clips):
            numbers["segment_map"] = _add_average_precision(classes, clips, predicted, labels)
    draws = drawn_ratios({name: counts[name] for name in WITH_INTERVAL}, seed=seed, draws=DRAWS)
    metrics: dict[str, Any] = {"segments": sum(clip.segments for clip in clips)}
    for name, value in numbers.items():
        metrics[name] = value
        if name in draws:
            drawn = draws[name]
            metrics[f"{name}_ci95"] = None if drawn is None else interval(drawn)
        if name == "event_map":
            metrics["event_map_by_iou"] = _event_map(clips, [clip.events for clip in clips])
    return metrics | {
        "clips_with_events": int(counts["clip_accuracy"][1].sum()),
        "plain_events": _of_events(clips, [clip.plain_events for clip in clips]),
        "decoder": dataclasses.asdict(postprocessing.events)
        | {"fitted_on": postprocessing.fitted_on, "clips": postprocessing.clips}
        | (
            {"thresholds": dict(zip(labels.names, postprocessing.thresholds, strict=True))}
            if postprocessing.thresholds
            else {}
        ),
        "calibration": _calibration(clips, predicted, postprocessing),
        "per_class": classes,
        # A confusion matrix needs one class per segment.
        "confusion": None if several else _confusion(clips, labels).tolist(),
        "baselines": _baselines(clips, labels, train_counts),
        "videos": len(clips),
        "skipped": [dict(item) for item in skipped],
    }


def _confusion(clips: Sequence[ClipOutcome], labels: Labels) -> np.ndarray:
    # Imported here, because reports read metrics without computing them.
    from sklearn.metrics import confusion_matrix

    size = len(labels) + 1
    if not any(clip.segments for clip in clips):  # scikit-learn refuses empty arrays
        return np.zeros((size, size), np.int64)
    return confusion_matrix(
        np.concatenate([clip.reference[clip.valid] for clip in clips]),
        np.concatenate([clip.predicted[clip.valid] for clip in clips]),
        labels=range(size),
    )  # [C+1, C+1], true classes in rows


def _headline(
    clips: Sequence[ClipOutcome], labels: Labels, events: Sequence[Sequence[Event]]
) -> dict[str, float | None]:
    of_events = _of_events(clips, events)
    shares = {
        name: ratio(part.sum(), whole.sum())
        for name, (part, whole) in clip_counts(clips, labels).items()
    }
    return {
        "segment_accuracy": shares["segment_accuracy"],
        "segment_f1": shares["segment_f1"],
        "event_f1": of_events["event_f1"],
        "event_map": of_events["event_map"],
        "background_recall": shares["background_recall"],
        "onset_error_s": of_events["onset_error_s"],
        "offset_error_s": of_events["offset_error_s"],
        "clip_accuracy": shares["clip_accuracy"],
    }


def _per_class(
    clips: Sequence[ClipOutcome], labels: Labels
) -> dict[str, dict[str, float | int | None]]:
    matched, reference, predicted = np.zeros((3, len(labels)), np.int64)  # [C] each
    for clip in clips:
        truth, guess = clip.active(len(labels))  # [n, C]
        matched += (truth & guess).sum(axis=0)
        reference += truth.sum(axis=0)
        predicted += guess.sum(axis=0)
    return _per_class_of_counts(matched, reference, predicted, labels)


def _per_class_of_counts(
    matched: np.ndarray, reference: np.ndarray, predicted: np.ndarray, labels: Labels
) -> dict[str, dict[str, float | int | None]]:
    """Precision, recall, F1 and support of the segments of each event class.

    Counts apply to single-label and multi-label segments alike.

    Args:
        matched: Segments of each class that were predicted as it, int `[C]`.
        reference: Segments of each class, int `[C]`.
        predicted: Segments predicted as each class, int `[C]`.
        labels: The class vocabulary.

    Returns:
        `precision`, `recall`, `f1` (None if undefined) and `support` (number of true segments) by
        class name. "macro average" has their means over the classes with a value, and the total
        support.

    Reference:
        Mesaros et al., Metrics for Polyphonic Sound Event Detection, Applied Sciences 2016:
        segment-based, class-based averaging.
    """
    rows: dict[str, dict[str, float | int | None]] = {}
    for index, name in enumerate(labels.names):
        right, support, found = int(matched[index]), int(reference[index]), int(predicted[index])
        rows[name] = {
            "precision": ratio(right, found),
            "recall": ratio(right, support),
            "f1": f1(right, support, found),
            "support": support,
        }
    macro: dict[str, float | int | None] = {
        key: mean_of([row[key] for row in rows.values()]) for key in ("precision", "recall", "f1")
    }
    # A class with this name keeps its own row.
    rows.setdefault(MACRO, macro | {"support": int(reference.sum())})
    return rows


def _add_average_precision(
    per_class: dict[str, dict[str, float | int | None]],
    clips: Sequence[ClipOutcome],
    predicted: Mapping[str, np.ndarray],
    labels: Labels,
) -> float | None:
    """Add `average_precision` to the rows of `per_class`, and their mean to its macro average.

    Args:
        per_class: Result of `_per_class_of_counts`.
        clips: The clips.
        predicted: Probabilities float `[T, C+1]` or classes bool `[T, C]` by clip.
        labels: The class vocabulary.

    Returns:
        Mean over the classes with a true segment; None without one.

    Reference:
        scikit-learn's `average_precision_score`; the mean is that of AudioSet (Gemmeke et al.,
        ICASSP 2017).
    """
    from sklearn.metrics import average_precision_score

    truth = np.concatenate([clip.active(len(labels))[0] for clip in clips])  # [N, C]
    scores = np.concatenate(
        [as_probabilities(predicted[clip.video], labels)[clip.valid, :-1] for clip in clips]
    )  # [N, C]
    found: list[float | int | None] = []
    for index, name in enumerate(labels.names):
        value = None
        if truth[:, index].any():
            value = float(average_precision_score(truth[:, index], scores[:, index]))
        per_class[name]["average_precision"] = value
        found.append(value)
    mean = mean_of(found)
    if MACRO not in labels:
        per_class[MACRO]["average_precision"] = mean
    return mean


def _of_events(
    clips: Sequence[ClipOutcome], events: Sequence[Sequence[Event]]
) -> dict[str, float | None]:
    truth = [clip.true_events for clip in clips]
    scores = event_scores(truth, events, iou_at_least(IOU_THRESHOLD))
    return {
        "event_f1": scores.f1,
        "event_map": mean_of(list(_event_map(clips, events).values())),
        "onset_error_s": scores.onset_error_s,
        "offset_error_s": scores.offset_error_s,
    }


def _event_map(
    clips: Sequence[ClipOutcome], events: Sequence[Sequence[Event]]
) -> dict[str, float | None]:
    by_iou = event_map([clip.true_events for clip in clips], events)
    return {f"{threshold:.1f}": value for threshold, value in by_iou.items()}


def _is_certain(predicted: np.ndarray) -> bool:
    """Return True for predicted classes, int `[T]` or bool `[T, C]`, without probabilities."""
    return np.ndim(predicted) == 1 or np.asarray(predicted).dtype == bool


def _calibration(
    clips: Sequence[ClipOutcome],
    predicted: Mapping[str, np.ndarray],
    postprocessing: Postprocessing,
) -> dict[str, Any] | None:
    """None without a segment, or if only classes were predicted."""
    if any(_is_certain(predicted[clip.video]) for clip in clips):
        return None
    if not any(clip.segments for clip in clips):
        return None
    # Probabilities of single-label models do not apply to multi-label references.
    if any(clip.multi_label != postprocessing.multi_label for clip in clips):
        return None
    return calibration(
        np.concatenate([predicted[clip.video][clip.valid] for clip in clips]),  # [N, C+1]
        np.concatenate([clip.reference[clip.valid] for clip in clips]),  # [N]
        postprocessing.temperature,
    )


def _baselines(
    clips: Sequence[ClipOutcome], labels: Labels, train_counts: np.ndarray | None
) -> dict[str, dict[str, float | None] | None]:
    def scores(predict: Callable[[np.ndarray], np.ndarray]) -> dict[str, float | None]:
        outcomes = clip_outcomes(
            {clip.video: clip.reference for clip in clips},
            {clip.video: predict(clip.reference) for clip in clips},
            labels,
            valid={clip.video: clip.valid for clip in clips},
            thresholds=[0.5] * len(labels) if any(clip.multi_label for clip in clips) else None,
        )
        return _headline(outcomes, labels, [clip.plain_events for clip in outcomes])

    return {
        "all_background": scores(lambda reference: all_background(reference, labels)),
        "majority_class": None
        if train_counts is None
        else scores(lambda reference: majority_class(reference, labels, train_counts)),
        "right_class_everywhere": scores(
            lambda reference: right_class_everywhere(reference, labels)
        ),
    }
