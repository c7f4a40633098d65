from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from avel_tf.events.event import Event, seconds_to_events
from avel_tf.events.labels import Labels

LABELS = Labels(["Bark", "Cat, meow"])

seconds = st.lists(
    st.tuples(st.integers(0, LABELS.background), st.floats(0, 1, width=32), st.booleans()),
    max_size=30,
)


@given(seconds)
def test_events_are_the_groups_of_equal_seconds(rows: list[tuple[int, float, bool]]) -> None:
    index, score, valid = (
        (np.array(column) for column in zip(*rows, strict=True))
        if rows
        else (
            np.zeros(0, int),
            np.zeros(0),
            np.zeros(0, bool),
        )
    )
    expected, start = [], 0
    for (label, usable), group in itertools.groupby(rows, key=lambda row: (row[0], row[2])):
        scores = [row[1] for row in group]
        end = start + len(scores)
        if usable and label != LABELS.background:
            expected.append((LABELS.name(label), start, end, sum(scores) / len(scores)))
        start = end

    events = seconds_to_events(index, score, LABELS, valid)
    assert [(event.label, event.start, event.end) for event in events] == [
        row[:3] for row in expected
    ]
    assert [event.score for event in events] == pytest.approx([row[3] for row in expected])
    # Every valid second of an event class lies in exactly one event, no other in any.
    covered = np.zeros(len(rows), int)
    for event in events:
        covered[int(event.start) : int(event.end)] += 1
    np.testing.assert_array_equal(covered, valid & (index != LABELS.background))


def test_a_second_that_could_not_be_decoded_breaks_an_event() -> None:
    valid = np.array([True, True, False, True])
    events = seconds_to_events(np.zeros(4, int), np.array([0.5, 0.7, 0.1, 0.9]), LABELS, valid)
    assert [(event.start, event.end) for event in events] == [(0.0, 2.0), (3.0, 4.0)]
    assert [event.score for event in events] == pytest.approx([0.6, 0.9])


def test_two_classes_side_by_side_are_two_events() -> None:
    events = seconds_to_events(np.array([0, 1, 2, 1]), np.ones(4), LABELS)
    assert [event.label for event in events] == ["Bark", "Cat, meow", "Cat, meow"]


@pytest.mark.parametrize(
    ("duration", "end"), [(None, 3.0), (2.4, 2.4), (3.0, 3.0), (9.0, 3.0), (2.0001, 3.0)]
)
def test_the_last_second_ends_where_the_video_ends(duration: float | None, end: float) -> None:
    (event,) = seconds_to_events(np.zeros(3, int), np.ones(3), LABELS, duration=duration)
    assert (event.start, event.end) == (0.0, end)


def test_scores_a_rounding_error_above_one_are_one() -> None:
    score = np.array([1.0000001, 1.0], np.float32)
    assert seconds_to_events(np.zeros(2, int), score, LABELS)[0].score == 1.0


@pytest.mark.parametrize(
    ("index", "score", "valid", "sentence"),
    [
        ([0, 0], [0.5], None, r"\[T\]. Received: shapes \(2,\), \(1,\)"),
        ([0], [0.5], [True, True], r"\(2,\)"),
        ([[0]], [[0.5]], None, r"\(1, 1\)"),
        ([3], [0.5], None, "0 ... 2 .*Received: 3; was the model trained with other labels"),
        ([-1], [0.5], None, "Received: -1"),
        ([0.0], [0.5], None, "dtype=float64; take the argmax"),
        ([0, 0], [0.5, float("nan")], None, "Received: nan.*training diverged"),
        ([2], [float("nan")], None, "Received: nan"),
        ([0, 0], [0.1, 1.5], None, r"in \[0, 1\]. Received: 1.5"),
        ([0, 0], [-0.1, 0.5], None, "Received: -0.1"),
    ],
)
def test_arrays_that_make_no_sense_are_refused(index, score, valid, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        seconds_to_events(np.array(index), np.array(score), LABELS, valid)


def test_the_score_of_an_invalid_segment_is_ignored() -> None:
    score, valid = np.array([0.5, np.nan]), np.array([True, False])
    assert seconds_to_events(np.zeros(2, int), score, LABELS, valid)[0].score == 0.5


@pytest.mark.parametrize("values", [(np.nan, 1.0, 0.5), (0.0, np.inf, 0.5), (0.0, 1.0, np.nan)])
def test_an_event_has_finite_numbers(values: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="must be finite numbers.*training diverged"):
        Event("Bark", *values)


@pytest.mark.parametrize("score", [-0.01, 1.01])
def test_an_event_has_a_probability(score: float) -> None:
    with pytest.raises(ValueError, match=r"must be a probability in \[0, 1\]"):
        Event("Bark", 0.0, 1.0, score)


@pytest.mark.parametrize("span", [(1.0, 1.0), (2.0, 1.0), (-1.0, 1.0), (1.0, 1.0001)])
def test_an_event_lasts(span: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="at least 0.001 s after its start"):
        Event("Bark", *span, 0.5)
