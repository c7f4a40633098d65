"""The accuracies that choose an epoch, against scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn.metrics

from avel_tf.training.metrics import ClipAccuracy, SegmentAccuracy

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(30, 5, 4)).astype("float32")
VALID = RNG.random((30, 5)) < 0.7
TARGETS = RNG.integers(4, size=(30, 5))


@pytest.mark.parametrize("targets", [TARGETS, np.eye(4, dtype="float32")[TARGETS] * 0.6 + 0.1])
def test_seconds_that_are_right(targets):
    metric = SegmentAccuracy()
    for part in (slice(0, 20), slice(20, 30)):
        metric.update_state(targets[part], LOGITS[part], VALID[part].astype("float32"))
    expected = sklearn.metrics.accuracy_score(TARGETS[VALID], LOGITS.argmax(-1)[VALID])
    assert float(metric.result()) == pytest.approx(expected, abs=1e-6)


def test_clips_that_are_right():
    valid = VALID.copy()
    valid[:3] = False  # such a clip counts for nothing
    classes = RNG.integers(4, size=30)
    targets = np.repeat(np.eye(4, dtype="float32")[classes][:, None], 5, axis=1)
    metric = ClipAccuracy()
    for part in (slice(0, 20), slice(20, 30)):
        metric.update_state(targets[part], LOGITS[part], valid[part].astype("float32"))
    there = valid.any(1)
    probabilities = np.exp(LOGITS) / np.exp(LOGITS).sum(-1, keepdims=True)
    named = (probabilities * valid[..., None]).sum(1).argmax(-1)
    expected = sklearn.metrics.accuracy_score(classes[there], named[there])
    assert float(metric.result()) == pytest.approx(expected, abs=1e-6)


def test_any_event_that_a_clip_holds_is_right():
    targets = np.full((3, 2, 4), [0.5, 0, 0.5, 0], "float32")
    logits = np.log(np.eye(4, dtype="float32")[[[0, 0], [2, 2], [1, 1]]] + 0.1)
    metric = ClipAccuracy()
    metric.update_state(targets, logits, np.ones((3, 2), "float32"))
    assert float(metric.result()) == pytest.approx(2 / 3)
