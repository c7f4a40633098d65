"""Seconds to events by thresholds, gaps and lengths."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from avel_tf.events.event import seconds_to_events
from avel_tf.events.event_postprocessor import EventPostprocessor
from avel_tf.events.labels import Labels
from avel_tf.events.segment_scores import SegmentScores

LABELS = Labels(["Bark", "Cat"])
# Values that tie often, so that the order of equals is tried as well.
weights = st.lists(
    st.tuples(*[st.integers(0, 3)] * 3).filter(any), max_size=12
)  # fmt: skip


def probabilities_of(rows: list) -> np.ndarray:
    values = np.array(rows, np.float64).reshape(-1, 3)  # [T, C+1]
    return values / values.sum(axis=1, keepdims=True)


def decoded(rows: list, valid: list[bool] | None = None, **settings) -> list[tuple]:
    scores = SegmentScores.from_probabilities(probabilities_of(rows))
    events = EventPostprocessor(**settings).decode(scores, LABELS, valid)
    return [(event.label, event.start, event.end) for event in events]


@given(weights, st.data())
def test_as_it_stands_it_is_the_plain_decoder(rows: list, data: st.DataObject) -> None:
    valid = np.array(data.draw(st.lists(st.booleans(), min_size=len(rows), max_size=len(rows))))
    probabilities, valid = probabilities_of(rows), valid.astype(bool)
    scores = SegmentScores.from_probabilities(probabilities)
    label, score = probabilities.argmax(-1), probabilities.max(-1)
    np.testing.assert_array_equal(scores.label_index(LABELS.background), label)
    np.testing.assert_array_equal(scores.score, score)
    duration = len(rows) - 0.25 if rows else None
    plain = seconds_to_events(label, score, LABELS, valid, duration=duration)
    ours = EventPostprocessor().decode(scores, LABELS, valid, duration=duration)
    assert [(e.label, e.start, e.end) for e in ours] == [(e.label, e.start, e.end) for e in plain]
    assert [e.score for e in ours] == pytest.approx([e.score for e in plain])


@given(weights, st.sampled_from([0.3, 0.5, 0.7]), st.sampled_from([0.1, 0.3]),
       st.integers(0, 2), st.integers(1, 3))  # fmt: skip
def test_events_are_apart_long_enough_and_have_a_strong_second(
    rows: list, onset: float, sustain: float, gap: int, shortest: int
) -> None:
    probabilities = probabilities_of(rows)
    scores = SegmentScores.from_probabilities(probabilities)
    events = EventPostprocessor(onset, sustain, gap, shortest).decode(scores, LABELS)
    end = 0.0
    for event in events:
        assert event.start >= end and event.end - event.start >= shortest
        end = event.end
        inside = slice(int(event.start), int(event.end))
        one = probabilities[inside, LABELS.index(event.label)]
        assert (one >= (onset - 1e-9) * (one + probabilities[inside, -1])).any()
        assert 0.0 <= event.score <= 1.0


def test_hysteresis_goes_on_where_one_threshold_would_stop() -> None:
    rows = [(0, 0, 10), (4, 0, 6), (9, 0, 1), (4, 0, 6), (0, 0, 10), (4, 0, 6)]
    assert decoded(rows) == [("Bark", 2.0, 3.0)]
    assert decoded(rows, sustain_threshold=0.4) == [("Bark", 1.0, 4.0)]
    assert decoded(rows, onset_threshold=0.95, sustain_threshold=0.4) == []


def test_gaps_are_bridged_whatever_lies_in_them_but_never_a_hole() -> None:
    bark, cat, nothing = (9, 0, 1), (0, 9, 1), (0, 0, 1)
    rows = [bark, cat, bark, nothing, nothing, bark]
    assert decoded(rows, fill_gap_seconds=1) == [("Bark", 0.0, 3.0), ("Bark", 5.0, 6.0)]
    assert decoded(rows, fill_gap_seconds=2) == [("Bark", 0.0, 6.0)]
    holes = [True, True, True, True, False, True]
    assert decoded(rows, holes, fill_gap_seconds=2) == [("Bark", 0.0, 3.0), ("Bark", 5.0, 6.0)]
    # Two events of two classes side by side are no gap.
    assert decoded([bark, bark, cat, cat], fill_gap_seconds=2) == [
        ("Bark", 0.0, 2.0), ("Cat", 2.0, 4.0)
    ]  # fmt: skip


def test_the_score_leaves_a_bridged_gap_out() -> None:
    rows = probabilities_of([(9, 0, 1), (0, 0, 1), (7, 0, 3)])
    scores = SegmentScores.from_probabilities(rows)
    (event,) = EventPostprocessor(fill_gap_seconds=1).decode(scores, LABELS)
    assert event.score == pytest.approx(0.8)


def test_short_ones_are_dropped() -> None:
    rows = [(9, 0, 1), (0, 0, 1), (0, 9, 1), (0, 9, 1)]
    assert decoded(rows, min_seconds=2) == [("Cat", 2.0, 4.0)]


def test_events_below_the_score_of_their_class_are_dropped() -> None:
    rows = [(9, 0, 1), (0, 0, 1), (7, 0, 3), (0, 0, 1), (0, 7, 3)]
    assert decoded(rows, min_scores={LABELS.name(0): 0.8}) == [
        (LABELS.name(0), 0.0, 1.0),
        (LABELS.name(1), 4.0, 5.0),
    ]
    assert len(decoded(rows, min_scores={LABELS.name(0): 0.7})) == 3


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"min_scores": {"Cat": 1.5}}, "smallest score of 'Cat' must be in"),
        ({"onset_threshold": 0.4}, "sustain_threshold <= onset_threshold.*0.5 and 0.4"),
        ({"sustain_threshold": 0.0}, "0 < sustain_threshold"),
        ({"onset_threshold": 1.0}, "onset_threshold < 1"),
        ({"fill_gap_seconds": -1}, "fill_gap_seconds must be at least 0"),
        ({"min_seconds": 0}, "min_seconds at least 1"),
    ],
)
def test_settings_that_make_no_sense(settings: dict, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        EventPostprocessor(**settings)


def test_scores_that_are_no_probabilities() -> None:
    wrong = SegmentScores(np.array([0]), np.array([np.nan]), np.array([0.5]))
    with pytest.raises(ValueError, match="must be probabilities"):
        EventPostprocessor().decode(wrong, LABELS)
    wrong = SegmentScores(np.array([0]), np.array([0.5]), np.array([np.nan]))
    with pytest.raises(ValueError, match="must be probabilities"):
        EventPostprocessor().decode(wrong, LABELS)
