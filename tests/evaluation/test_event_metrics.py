from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import sed_eval

from avel_tf.evaluation.event_metrics import (
    event_f1,
    event_f1_collar,
    event_scores,
    intersection_over_union,
    iou_at_least,
    match_events,
    within_collars,
)
from avel_tf.events.event import Event
from tests.evaluation.cases import (
    allowed_pairs,
    events_of,
    most_pairs,
    random_cases,
    random_spans,
)
from tests.evaluation.test_segment_metrics import as_list

CASES = 1000
COLLARS = [(1.0, 0.2), (0.2, 0.2), (2.0, 0.0), (0.5, 0.5)]


def test_collars_equal_to_sed_eval() -> None:
    defined = 0
    collars = itertools.cycle(COLLARS)
    for truth, guess, labels in random_cases(CASES, seed=3):
        collar_s, share = next(collars)
        reference, predicted = events_of(truth, labels), events_of(guess, labels)
        theirs = sed_eval.sound_event.EventBasedMetrics(
            list(labels.names),
            t_collar=collar_s,
            percentage_of_length=share,
            event_matching_type="optimal",
        )
        for one, other in zip(reference, predicted, strict=True):
            theirs.evaluate(as_list(one), as_list(other))
        ours = event_scores(reference, predicted, within_collars(collar_s, share))
        assert (ours.matched, ours.reference, ours.predicted) == (
            theirs.overall["Ntp"],
            theirs.overall["Nref"],
            theirs.overall["Nsys"],
        )
        value = theirs.overall_f_measure()["f_measure"]
        if not math.isnan(value):
            defined += 1
            assert event_f1_collar(reference, predicted, collar_s, share) == pytest.approx(value)
    assert defined > 0.7 * CASES


@pytest.mark.parametrize(
    "criterion",
    [iou_at_least(0.5), iou_at_least(0.2), within_collars(1.0, 0.2)],
    ids=["half", "fifth", "collars"],
)
def test_as_many_pairs_as_brute_force_finds(criterion) -> None:
    generator = np.random.default_rng(4)
    more_than_one = 0
    for _ in range(CASES):
        reference, predicted = (
            [
                event
                for label in ("Bark", "Cat")
                for event in random_spans(generator, generator.integers(0, 4), label)
            ]
            for _ in range(2)
        )
        pairs = match_events(reference, predicted, criterion)
        allowed = allowed_pairs(reference, predicted, criterion)
        assert len(pairs) == most_pairs(allowed)
        assert all(truth.label == guess.label for truth, guess in pairs)
        # Each event is used once; equal events are told apart by how often they are there.
        for side, events in ((0, reference), (1, predicted)):
            used = [pair[side] for pair in pairs]
            assert all(used.count(event) <= events.count(event) for event in used)
        more_than_one += len(pairs) > 1
    assert more_than_one > 100


def test_overlap_equal_to_counting_half_seconds() -> None:
    generator = np.random.default_rng(5)
    reference, predicted = (random_spans(generator, 30, "Bark") for _ in range(2))
    overlap = intersection_over_union(
        *(np.array([(e.start, e.end) for e in events]) for events in (reference, predicted))
    )
    for (row, one), (column, other) in itertools.product(
        enumerate(reference), enumerate(predicted)
    ):
        a, b = (set(np.arange(e.start, e.end, 0.5)) for e in (one, other))
        assert overlap[row, column] == pytest.approx(len(a & b) / len(a | b))


def test_number_of_pairs_comes_before_their_fit() -> None:
    # The perfect fit of the second would leave the first without a partner.
    reference = [Event("Bark", 0, 4, 1), Event("Bark", 1, 5, 1)]
    predicted = [Event("Bark", 1, 5, 1), Event("Bark", 2, 7, 1)]
    assert len(match_events(reference, predicted, iou_at_least(0.5))) == 2


def test_among_equal_numbers_the_better_fit_is_taken() -> None:
    reference = [Event("Bark", 0, 10, 1)]
    predicted = [Event("Bark", 0, 6, 1), Event("Bark", 1, 10, 1)]
    scores = event_scores([reference], [predicted], iou_at_least(0.5))
    assert (scores.onset_error_s, scores.offset_error_s) == (1.0, 0.0)
    assert scores.f1 == pytest.approx(2 / 3)


@pytest.mark.parametrize(("end", "expected"), [(2.0, 1.0), (1.999, 0.0)])
def test_half_of_the_union_is_enough(end: float, expected: float) -> None:
    assert event_f1([[Event("Bark", 0, 4, 1)]], [[Event("Bark", 0, end, 1)]]) == expected


def test_another_class_or_another_video_is_no_match() -> None:
    bark, cat = Event("Bark", 0, 4, 1), Event("Cat", 0, 4, 1)
    assert event_f1([[bark]], [[cat]]) == 0.0
    assert event_f1([[bark], []], [[], [bark]]) == 0.0
    with pytest.raises(ValueError, match="zip"):
        event_f1([[bark]], [])


def test_no_event_means_no_value() -> None:
    scores = event_scores([()], [()], iou_at_least(0.5))
    assert scores.f1 is scores.onset_error_s is scores.offset_error_s is None
    assert event_scores([()], [[Event("Bark", 0, 4, 1)]], iou_at_least(0.5)).f1 == 0.0


@pytest.mark.parametrize("threshold", [0.0, -1.0, 1.5, float("nan")])
def test_a_threshold_that_matches_everything_is_refused(threshold: float) -> None:
    with pytest.raises(ValueError, match=r"must be in \(0, 1\]"):
        event_f1([], [], threshold)


def test_negative_collar_is_refused() -> None:
    with pytest.raises(ValueError, match="must not be negative"):
        event_f1_collar([], [], collar_s=-1.0)
