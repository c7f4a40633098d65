"""Scores of seconds with one label and with any number of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from avel_tf.events.event import seconds_to_events
from avel_tf.events.event_postprocessor import EventPostprocessor
from avel_tf.events.labels import Labels
from avel_tf.events.postprocessing import Postprocessing
from avel_tf.events.result import LabelScore, Result, labelled_seconds
from avel_tf.events.segment_scores import MultiLabelScores, SegmentScores

LABELS = Labels(["Bark", "Flute", "Clock"])
SHARES = st.integers(0, 32).map(lambda number: number / 32)
PROBABILITIES = arrays.arrays(np.float64, st.tuples(st.integers(1, 9), st.just(4)), elements=SHARES)
THRESHOLDS = st.tuples(*[st.integers(1, 63).map(lambda number: number / 64)] * 3)


@given(PROBABILITIES, THRESHOLDS)
def test_a_label_is_a_class_that_reaches_its_threshold(probabilities, thresholds) -> None:
    scores = MultiLabelScores.from_probabilities(probabilities, thresholds)
    active = probabilities[:, :3] >= thresholds
    np.testing.assert_array_equal(scores.active(), active)
    for row, on, label, score in zip(
        probabilities, active, scores.label_index(3), scores.score, strict=True
    ):
        assert (label == 3) == (not on.any())
        assert score == (row[:3][on].max() if on.any() else row[3])
        assert label == 3 or (on[label] and row[label] == score)


@given(PROBABILITIES, THRESHOLDS)
def test_plain_events_are_the_runs_of_each_class(probabilities, thresholds) -> None:
    scores = MultiLabelScores.from_probabilities(probabilities, thresholds)
    events = EventPostprocessor().decode(scores, LABELS)
    for index, name in enumerate(LABELS.names):
        labels = np.where(probabilities[:, index] >= thresholds[index], index, 3)
        expected = seconds_to_events(labels, probabilities[:, index], LABELS)
        assert [e for e in events if e.label == name] == pytest.approx(list(expected))
    assert list(events) == sorted(events, key=lambda event: event.start)


@given(PROBABILITIES, st.floats(0.05, 0.95), st.floats(0.05, 0.95))
def test_one_class_decodes_like_one_label(probabilities, one, other) -> None:
    """With a single class at one half, both kinds of scores ask p against 1 - p."""
    p = probabilities[:, 0]
    decoder = EventPostprocessor(max(one, other), min(one, other), 1, 2)
    labels = Labels(["Bark"])
    pair = np.column_stack([p, 1 - p])
    several = MultiLabelScores.from_probabilities(pair, [0.5])
    single = SegmentScores.from_probabilities(pair)
    assert decoder.decode(several, labels) == decoder.decode(single, labels)
    np.testing.assert_array_equal(several.label_index(1), single.label_index(1))


def test_events_of_different_classes_overlap() -> None:
    probabilities = np.array([[0.9, 0.1, 0, 0.1], [0.9, 0.8, 0, 0], [0.1, 0.8, 0, 0.1]])
    scores = Postprocessing(thresholds=(0.5, 0.5, 0.5)).scores(probabilities)
    events = EventPostprocessor().decode(scores, LABELS)
    assert [(e.label, e.start, e.end) for e in events] == [("Bark", 0, 2), ("Flute", 1, 3)]


def test_each_class_needs_a_threshold() -> None:
    with pytest.raises(ValueError, match="2 thresholds for 3 classes"):
        Postprocessing(thresholds=(0.5, 0.5)).scores(np.zeros((1, 4)))
    with pytest.raises(ValueError, match=r"must be in \(0, 1\)"):
        Postprocessing(thresholds=(0.5, 1.0))


def test_thresholds_survive_their_file(tmp_path) -> None:
    fitted = Postprocessing(
        1.5, EventPostprocessor(0.6, 0.4), "validation", 12, (1 / 64, 0.5, 63 / 64)
    )
    fitted.save(tmp_path)
    assert Postprocessing.load(tmp_path) == fitted
    Postprocessing().save(tmp_path)
    assert "thresholds" not in (tmp_path / "decoder.json").read_text()
    assert not Postprocessing.load(tmp_path).multi_label


def test_labels_of_a_second_survive_their_line() -> None:
    probabilities = np.array([[0.7, 0.9, 0.1, 0.0], [0.1, 0.2, 0.3, 0.9]])
    scores = Postprocessing(thresholds=(0.5, 0.5, 0.5)).scores(probabilities)
    seconds = labelled_seconds(
        scores.label_index(3), scores.score, LABELS, label_scores=scores.label_scores
    )
    assert seconds[0].label == "Flute" and seconds[0].score == 0.9
    assert seconds[0].labels == (LabelScore("Flute", 0.9), LabelScore("Bark", 0.7))
    assert (seconds[1].label, seconds[1].score, seconds[1].labels) == ("background", 0.9, ())
    result = Result("a.mp4", "ok", seconds=seconds)
    assert Result.from_json(result.to_json()) == result
    assert '"schema": 1' in result.to_json()


def test_a_label_without_a_score_is_refused() -> None:
    line = Result("a.mp4", "ok").to_json()
    second = '{"start": 0, "end": 1, "label": "Bark", "score": 1, "labels": [{"label": "Bark"}]}'
    with pytest.raises(ValueError, match="'score' is missing"):
        Result.from_json(line.replace('"seconds": []', f'"seconds": [{second}]'))
