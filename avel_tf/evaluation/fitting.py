"""The temperature and the decoder of events, fitted on a validation split."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from avel_tf.decoding import Decoding
from avel_tf.evaluation.calibration import fit_temperature, with_temperature
from avel_tf.evaluation.clip_outcome import true_events
from avel_tf.evaluation.event_metrics import IOU_THRESHOLD, iou_at_least, match_events
from avel_tf.evaluation.segment_metrics import f1
from avel_tf.evaluation.split_predictions import SplitPredictions
from avel_tf.event_decoder import EventDecoder
from avel_tf.events import Event
from avel_tf.second_scores import SecondScores

# A coarse grid: with a finer one, a validation split of some hundred clips chooses by chance.
THRESHOLDS = (0.3, 0.4, 0.5, 0.6, 0.7)
GAPS_S = (0, 1, 2)
# No event of the AVE dataset is shorter than two seconds (Tian et al., ECCV 2018, section 3).
SHORTEST_S = (1, 2, 3)


def fit_decoding(predictions: SplitPredictions) -> Decoding:
    """Fit what stands between a model's logits and the events that users see.

    First the temperature, by the likelihood of the seconds; then, on the probabilities that it
    gives, the decoder with the highest event F1. Of equals the one that is nearest to the plain
    decoder is taken, the plain one before all.

    Args:
        predictions: Of a model without a temperature, on a split that no figure will be reported
            of: `validation`.

    Returns:
        The temperature and the decoder.

    Reference:
        Guo et al., On Calibration of Modern Neural Networks, ICML 2017 (the temperature).
    """
    temperature = fit_temperature(*predictions.counted_seconds())
    return Decoding(
        temperature=temperature,
        events=_best_decoder(predictions, temperature),
        fitted_on=predictions.split,
        clips=len(predictions.reference),
    )


def decoders() -> Iterator[EventDecoder]:
    """The grid, from the plain decoder outwards."""
    plain = EventDecoder()
    grid = [
        EventDecoder(onset, sustain, gap, shortest)
        for onset, sustain, gap, shortest in itertools.product(
            THRESHOLDS, THRESHOLDS, GAPS_S, SHORTEST_S
        )
        if sustain <= onset
    ]

    def distance(one: EventDecoder) -> tuple[float, ...]:
        steps = (
            abs(one.onset_threshold - plain.onset_threshold),
            abs(one.sustain_threshold - plain.sustain_threshold),
            one.fill_gap_seconds,
            one.min_seconds - plain.min_seconds,
        )
        return sum(map(bool, steps)), *steps

    yield from sorted(grid, key=distance)


def _best_decoder(predictions: SplitPredictions, temperature: float) -> EventDecoder:
    labels = predictions.labels
    clips = []
    for name in sorted(predictions.reference):
        reference = predictions.reference[name]
        valid = (predictions.valid or {}).get(name, np.ones(len(reference), bool))
        probabilities = with_temperature(predictions.probabilities[name], temperature)
        scores = SecondScores.from_probabilities(probabilities)
        clips.append((true_events(reference, valid, labels), scores, valid))
    # Most decoders find the same events in a clip.
    known: dict[tuple[int, tuple[Event, ...]], int] = {}
    best, highest = EventDecoder(), -1.0
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
