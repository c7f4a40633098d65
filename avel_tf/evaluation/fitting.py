"""Fitting of temperature, thresholds and event postprocessing on a validation split."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from avel_tf.evaluation.calibration import fit_temperature, with_temperature
from avel_tf.evaluation.clip_outcome import true_events
from avel_tf.evaluation.event_metrics import IOU_THRESHOLD, iou_at_least, match_events
from avel_tf.evaluation.ratios import f1
from avel_tf.evaluation.split_predictions import SplitPredictions
from avel_tf.events.event import Event
from avel_tf.events.event_postprocessor import EventPostprocessor
from avel_tf.events.postprocessing import Postprocessing

# A coarse grid: a finer one would overfit a validation split of some hundred clips.
THRESHOLDS = (0.3, 0.4, 0.5, 0.6, 0.7)
GAPS_S = (0, 1, 2)
# Exact in float32 and in text, so that every comparison with a probability gives the same result.
CLASS_THRESHOLDS = tuple(number / 64 for number in range(1, 64))
# No event of the AVE dataset is shorter than two seconds (Tian et al., ECCV 2018, section 3).
SHORTEST_S = (1, 2, 3)


def fit_postprocessing(predictions: SplitPredictions) -> Postprocessing:
    """Fit the postprocessing of logits into events.

    In this order: the temperature by maximum likelihood; for multi-label models the threshold of
    each class by the F1 of its segments; the event postprocessing by event F1. Ties are broken in
    favour of the settings nearest to plain postprocessing.

    Args:
        predictions: Of a model without temperature, on a split that is not reported, such as
            `validation`. A multi-label reference requires a multi-label model.

    Returns:
        Temperature, thresholds and event postprocessing.

    Reference:
        Guo et al., On Calibration of Modern Neural Networks, ICML 2017 (the temperature).
    """
    probabilities, reference = predictions.counted_seconds()
    temperature = fit_temperature(probabilities, reference)
    fitted = Postprocessing(
        temperature=temperature, fitted_on=predictions.split, clips=len(predictions.reference)
    )
    if predictions.multi_label:
        scaled = with_temperature(probabilities, temperature, multi_label=True)
        fitted = replace(fitted, thresholds=fit_thresholds(scaled[:, :-1], reference))
    return replace(fitted, events=_best_decoder(predictions, fitted))


def fit_thresholds(probabilities: np.ndarray, reference: np.ndarray) -> tuple[float, ...]:
    """Threshold of each class with the highest F1 over its segments.

    Args:
        probabilities: Independent probabilities of the classes, float `[N, C]`.
        reference: Classes of each segment, bool `[N, C]`.

    Returns:
        `[C]`, from `CLASS_THRESHOLDS`. Ties: nearest to 0.5, which is also the value for classes
        without a true segment.

    Reference:
        Lipton, Elkan and Narayanaswamy, Optimal Thresholding of Classifiers to Maximize F1 Measure,
        ECML PKDD 2014 (https://arxiv.org/abs/1402.1892).
    """
    best = np.full(reference.shape[1], 0.5)  # [C]
    highest = np.full(reference.shape[1], 0.0)  # [C]
    for threshold in sorted(CLASS_THRESHOLDS, key=lambda each: (abs(each - 0.5), each)):
        found = probabilities >= threshold  # [N, C]
        counted = found.sum(axis=0) + reference.sum(axis=0)  # [C]
        value = 2 * (found & reference).sum(axis=0) / np.maximum(counted, 1)  # [C]
        better = value > highest
        best[better], highest[better] = threshold, value[better]
    return tuple(best.tolist())


def decoders() -> Iterator[EventPostprocessor]:
    """The grid, by increasing distance from plain postprocessing."""
    plain = EventPostprocessor()
    grid = [
        EventPostprocessor(onset, sustain, gap, shortest)
        for onset, sustain, gap, shortest in itertools.product(
            THRESHOLDS, THRESHOLDS, GAPS_S, SHORTEST_S
        )
        if sustain <= onset
    ]

    def distance(one: EventPostprocessor) -> tuple[float, ...]:
        steps = (
            abs(one.onset_threshold - plain.onset_threshold),
            abs(one.sustain_threshold - plain.sustain_threshold),
            one.fill_gap_seconds,
            one.min_seconds - plain.min_seconds,
        )
        return sum(map(bool, steps)), *steps

    yield from sorted(grid, key=distance)


def _best_decoder(predictions: SplitPredictions, fitted: Postprocessing) -> EventPostprocessor:
    labels = predictions.labels
    clips = []
    for name in sorted(predictions.reference):
        reference = predictions.reference[name]
        valid = (predictions.valid or {}).get(name, np.ones(len(reference), bool))
        probabilities = with_temperature(
            predictions.probabilities[name], fitted.temperature, multi_label=fitted.multi_label
        )
        scores = fitted.scores(probabilities)
        clips.append((true_events(reference, valid, labels), scores, valid))
    # Most settings give the same events in a clip.
    known: dict[tuple[int, tuple[Event, ...]], int] = {}
    best, highest = EventPostprocessor(), -1.0
    for decoder in decoders():
        matched = reference_events = predicted_events = 0
        for place, (truth, scores, valid) in enumerate(clips):
            events = decoder.decode(scores, labels, valid)
            if (place, events) not in known:
                known[place, events] = len(match_events(truth, events, iou_at_least(IOU_THRESHOLD)))
            matched += known[place, events]
            reference_events += len(truth)
            predicted_events += len(events)
        value = f1(matched, reference_events, predicted_events)
        if value is not None and value > highest:
            best, highest = decoder, value
    return best
