"""Selection of some of a model's classes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from avel_tf.events.class_selection import ClassSelection
from avel_tf.events.labels import Labels
from avel_tf.events.postprocessing import Postprocessing

LABELS = Labels(["Bark", "Howl", "Cat", "Piano"])
rows = arrays(np.float64, (6, 5), elements=st.floats(0.001, 1.0))


@settings(max_examples=100, deadline=None, derandomize=True)
@given(rows, st.lists(st.sampled_from(LABELS.names), min_size=1, unique=True))
def test_a_selected_label_stays_and_others_become_background(numbers, names):
    probabilities = numbers / numbers.sum(1, keepdims=True)
    selection = ClassSelection(LABELS, names)
    found = selection(probabilities)
    np.testing.assert_allclose(found.sum(1), 1.0)
    for row, whole in zip(found, probabilities, strict=True):
        if np.sort(whole)[-1] - np.sort(whole)[-2] < 1e-9:
            continue  # a tie
        best = whole.argmax()
        name = LABELS.names[best] if best < 4 else None
        expected = names.index(name) if name in names else len(names)
        assert row.argmax() == expected


def test_a_related_class_does_not_compete():
    probabilities = np.array([[0.3, 0.5, 0.1, 0.05, 0.05]])
    alone = ClassSelection(LABELS, ["Bark"])(probabilities)
    assert alone.argmax() == 1  # the howl wins, and is background
    related = np.array([True, True, False, False])
    among = ClassSelection(LABELS, ["Bark"], related)(probabilities)
    np.testing.assert_allclose(among, [[0.75, 0.25]])


def test_independent_classes_are_only_left_out():
    postprocessing = Postprocessing(thresholds=(0.5, 0.5, 0.2, 0.5))
    probabilities = np.array([[0.9, 0.9, 0.3, 0.1, 0.05]])
    selection = ClassSelection(LABELS, ["Cat", "Piano"])
    scores = selection.scores(postprocessing, probabilities)
    assert scores.label_index(2).tolist() == [0]
    np.testing.assert_allclose(scores.score, [0.3])


def test_an_unknown_class_is_refused():
    with pytest.raises(ValueError, match=r"no class 'Brak'. Did you mean 'Bark'"):
        ClassSelection(LABELS, ["Brak"])
