"""Mean average precision of events, held against scikit-learn's curve and a matching in loops."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import precision_recall_curve

from avel_tf.evaluation.average_precision import (
    IOU_THRESHOLDS,
    event_map,
    interpolated_average_precision,
)
from avel_tf.events.event import Event
from tests.evaluation.cases import random_spans

NAMES = ("Bark", "Cat, meow", "Flute")


@st.composite
def videos(draw: st.DrawFn, *, scored: bool = True) -> list[list[Event]]:
    def one() -> Event:
        start, length = draw(st.integers(0, 8)), draw(st.integers(1, 4))
        score = draw(st.sampled_from([0.1, 0.5, 0.5, 0.9])) if scored else 1.0
        return Event(draw(st.sampled_from(NAMES)), float(start), float(start + length), score)

    return [[one() for _ in range(draw(st.integers(0, 4)))] for _ in range(3)]


def test_equal_to_a_loop_and_scikit_learn() -> None:
    """sed_eval has no average precision; ActivityNet's own evaluation is the model of the loop."""
    for seed in range(60):
        generator = np.random.default_rng(seed)
        truth = [several(generator) for _ in range(4)]
        guess = [several(generator, scored=True) for _ in range(4)]
        ours = event_map(truth, guess)
        for threshold in IOU_THRESHOLDS:
            precisions = [
                by_loop(truth, guess, name, threshold)
                for name in NAMES
                if any(event.label == name for events in truth for event in events)
            ]
            expected = np.mean(precisions) if precisions else None
            assert ours[threshold] == (None if expected is None else pytest.approx(expected))


def several(generator: np.random.Generator, *, scored: bool = False) -> list[Event]:
    events = []
    for name in NAMES:
        for event in random_spans(generator, int(generator.integers(0, 4)), name):
            score = float(generator.random()) if scored else 1.0
            events.append(Event(name, event.start, event.end, score))
    return events


def by_loop(truth: list, guess: list, name: str, threshold: float) -> float:
    """One class: match greedily, one prediction after the other, and integrate the curve."""
    wanted = [[e for e in events if e.label == name] for events in truth]
    total = sum(map(len, wanted))
    found = sorted(
        (
            (e.score, clip, e)
            for clip, events in enumerate(guess)
            for e in events
            if e.label == name
        ),
        key=lambda row: -row[0],
    )
    taken, right = set(), []
    for _, clip, event in found:
        overlaps = []
        for place, other in enumerate(wanted[clip]):
            shared = max(0.0, min(event.end, other.end) - max(event.start, other.start))
            union = (event.end - event.start) + (other.end - other.start) - shared
            overlaps.append((shared / union, place))
        hit = False
        for overlap, place in sorted(overlaps, key=lambda row: -row[0]):
            if overlap >= threshold and (clip, place) not in taken:
                taken.add((clip, place))
                hit = True
                break
        right.append(hit)
    if not any(right):
        return 0.0
    precision, recall, _ = precision_recall_curve(right, [row[0] for row in found])
    # It goes from the highest recall to none; recall there is of the predictions that are right.
    precision = np.maximum.accumulate(precision)
    return float((-np.diff(recall) * precision[:-1]).sum() * sum(right) / total)


@given(videos(scored=False))
def test_a_perfect_prediction_is_one(truth: list) -> None:
    # Two equal events cannot come of seconds, and nothing could tell which of them was found.
    truth = [list(dict.fromkeys(events)) for events in truth]
    expected = 1.0 if any(truth) else None
    assert event_map(truth, truth) == dict.fromkeys(IOU_THRESHOLDS, expected)


@given(videos(), videos(), st.randoms(use_true_random=False))
def test_bounds_and_order(truth: list, guess: list, random) -> None:
    values = event_map(truth, guess)
    for value in values.values():
        assert value is None or 0.0 <= value <= 1.0
    known = [value for value in values.values() if value is not None]
    assert known == [] or len(known) == len(IOU_THRESHOLDS)
    order = list(range(len(truth)))
    random.shuffle(order)
    moved = event_map([truth[place] for place in order], [guess[place] for place in order])
    assert moved == pytest.approx(values)
    # A class that nobody annotated changes nothing: there is no precision without a recall.
    more = [[*events, Event("Nobody's", 0.0, 1.0, 0.99)] for events in guess]
    assert event_map(truth, more) == values


def test_scores_decide() -> None:
    truth = [[Event("Bark", 0.0, 4.0, 1.0)], []]
    sure = [[Event("Bark", 0.0, 4.0, 0.9)], [Event("Bark", 0.0, 4.0, 0.1)]]
    doubtful = [[Event("Bark", 0.0, 4.0, 0.1)], [Event("Bark", 0.0, 4.0, 0.9)]]
    assert event_map(truth, sure)[0.5] == 1.0
    assert event_map(truth, doubtful)[0.5] == 0.5
    # An overlap of three quarters: found up to there, and not beyond.
    short = [[Event("Bark", 0.0, 3.0, 0.9)], []]
    assert [event_map(truth, short)[iou] for iou in (0.7, 0.8)] == [1.0, 0.0]


def test_equal_scores_enter_together() -> None:
    score, right = np.array([0.5, 0.5, 0.5, 0.5]), np.array([True, False, False, False])
    for turn in range(4):
        assert interpolated_average_precision(score, np.roll(right, turn), 1) == 0.25
