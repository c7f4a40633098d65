"""The head of several labels and its losses, against Keras, scikit-learn and hand-worked values."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from sklearn.metrics import log_loss

from avel_tf.models import (
    ModelSettings,
    build,
    is_multi_label,
    load_model,
    losses_for,
    probabilities_from,
)
from avel_tf.models.losses.clip_losses import (
    MultipleInstanceBinaryCrossEntropy,
    pooled_probabilities,
)
from avel_tf.models.losses.segment_losses import SegmentBinaryCrossEntropy
from avel_tf.models.losses.targets import event_share
from avel_tf.training.metrics import ClipF1, SegmentF1

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(4, 5, 3)).astype("float32")
ACTIVE = RNG.random((4, 5, 2)) < 0.4
TARGETS = np.concatenate([ACTIVE, ~ACTIVE.any(-1, keepdims=True)], -1).astype("float32")
VALID = RNG.random((4, 5)) < 0.7
SIGMOID = 1 / (1 + np.exp(-LOGITS.astype("float64")))


def test_the_loss_is_the_sum_of_log_losses() -> None:
    """scikit-learn's log loss of each column, summed over the columns."""
    found = float(SegmentBinaryCrossEntropy()(TARGETS, LOGITS, VALID.astype("float32")))
    columns = [log_loss(TARGETS[VALID][:, c], SIGMOID[VALID][:, c]) for c in range(3)]
    assert found == pytest.approx(sum(columns), rel=1e-5)


def test_extreme_logits_stay_finite() -> None:
    logits = np.array([[[1e4, -1e4, 0.0]]], "float32")
    targets = np.array([[[0.0, 1.0, 0.0]]], "float32")
    assert np.isfinite(float(SegmentBinaryCrossEntropy(0.1)(targets, logits)))
    assert np.isfinite(float(MultipleInstanceBinaryCrossEntropy(2)(targets, logits)))


def test_clips_are_pooled_by_a_linear_softmax() -> None:
    """Probabilities 0.8 and 0.2: (0.64 + 0.04) / 1. No event: 1 - the same of the complement."""
    shares = np.array([[[0.8, 0.5, 0.2], [0.2, 0.5, 0.8], [0.99, 0.99, 0.99]]])
    logits = np.log(shares / (1 - shares)).astype("float32")
    valid = np.array([[1.0, 1.0, 0.0]], "float32")
    pooled = keras.ops.convert_to_numpy(pooled_probabilities(logits, valid))
    np.testing.assert_allclose(pooled, [[0.68, 0.5, 0.32]], rtol=1e-5)


def test_weak_losses_ignore_the_times_of_events() -> None:
    loss = MultipleInstanceBinaryCrossEntropy(2)
    weights = np.ones((4, 5), "float32")
    assert float(loss(TARGETS, LOGITS, weights)) == pytest.approx(
        float(loss(TARGETS[:, ::-1].copy(), LOGITS, weights))
    )


def test_two_events_in_a_second_are_one_event_share() -> None:
    targets = np.array([[[1.0, 1.0, 0.0], [0.5, 0.5, 0.5], [0, 0, 1], [0, 0, 0]]], "float32")
    np.testing.assert_array_equal(np.asarray(event_share(targets)), [[1, 0.5, 0, 0]])


def test_the_file_keeps_that_there_are_several_labels(tmp_path) -> None:
    settings = ModelSettings("audio_only", width=8, heads=2, lstm_units=4, head="multi_label")
    model = build(settings, visual_width=3, audio_width=4, classes=2)
    model.save(tmp_path / "model.keras")
    again = load_model(tmp_path / "model.keras")
    assert is_multi_label(again)
    losses, _ = losses_for(again)
    assert isinstance(losses["logits"], SegmentBinaryCrossEntropy)
    weak, _ = losses_for(again, supervision="weak")
    assert isinstance(weak["logits"], MultipleInstanceBinaryCrossEntropy)
    inputs = {
        "visual": np.zeros((1, 5, 3), "float32"),
        "audio": RNG.normal(size=(1, 5, 4)).astype("float32"),
        "valid": np.ones((1, 5), bool),
    }
    np.testing.assert_array_equal(np.asarray(model(inputs)), np.asarray(again(inputs)))
    probabilities = probabilities_from(again(inputs), multi_label=True)
    assert np.asarray(probabilities).shape == (1, 5, 3)


def test_other_heads_have_one_label() -> None:
    for head in ("per_second", "factorised"):
        settings = ModelSettings("audio_only", width=8, heads=2, lstm_units=4, head=head)
        assert not is_multi_label(build(settings, visual_width=3, audio_width=4, classes=2))


def test_class_activation_is_refused_with_several_labels() -> None:
    with pytest.raises(ValueError, match="model.class_activation cannot be combined"):
        ModelSettings(head="multi_label", class_activation=True)


def test_segment_f1_is_that_of_scikit_learn() -> None:
    from sklearn.metrics import f1_score

    metric = SegmentF1()
    for part in (slice(0, 1), slice(1, 4)):  # batches add up
        metric.update_state(TARGETS[part], LOGITS[part], VALID[part].astype("float32"))
    expected = f1_score(ACTIVE[VALID], LOGITS[VALID][:, :2] >= 0, average="micro")
    assert float(metric.result()) == pytest.approx(expected)


def test_clip_f1_counts_the_classes_of_clips() -> None:
    sure = np.where(TARGETS > 0, 9.0, -9.0).astype("float32")
    metric = ClipF1()
    metric.update_state(TARGETS, sure, VALID.astype("float32"))
    assert float(metric.result()) == 1.0
