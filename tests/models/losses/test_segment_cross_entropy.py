from __future__ import annotations

import keras
import numpy as np
import pytest
from sklearn.metrics import log_loss

from avel_tf.models import SegmentCrossEntropy
from tests.models.conftest import random_inputs, small_model

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(4, 5, 3)).astype("float32")
TARGETS = RNG.integers(0, 3, (4, 5))
VALID = RNG.random((4, 5)) < 0.6
PROBABILITIES = keras.ops.convert_to_numpy(keras.ops.softmax(LOGITS, axis=-1))


def loss_of(valid: np.ndarray, smoothing: float = 0.0, targets: np.ndarray = TARGETS) -> float:
    return float(SegmentCrossEntropy(smoothing)(targets, LOGITS, valid.astype("float32")))


def test_agrees_with_scikit_learn() -> None:
    expected = log_loss(TARGETS[VALID], PROBABILITIES[VALID], labels=[0, 1, 2])
    assert loss_of(VALID) == pytest.approx(expected, rel=1e-5)


def test_label_smoothing_agrees_with_keras() -> None:
    reference = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.2)
    expected = float(reference(np.eye(3)[TARGETS[VALID]], LOGITS[VALID]))
    assert loss_of(VALID, 0.2) == pytest.approx(expected, rel=1e-5)


def test_invalid_seconds_cost_nothing() -> None:
    for junk in (-1, 99):
        assert loss_of(VALID, 0.1, np.where(VALID, TARGETS, junk)) == loss_of(VALID, 0.1)
    assert loss_of(np.zeros_like(VALID)) == 0.0


def test_extreme_logits_stay_finite() -> None:
    logits = np.array([[[1e4, -1e4, 0.0]]], "float32")
    assert np.isfinite(SegmentCrossEntropy()(np.array([[1]]), logits))


def test_fit_and_evaluate_use_it_with_weighted_accuracy() -> None:
    """`model.evaluate` reports the loss of the valid segments alone."""
    model = small_model("audio_only")
    valid = np.array([[1, 1, 1, 1], [1, 0, 0, 1]], bool)
    inputs = random_inputs(valid)
    targets = np.array([[0, 1, 2, 3], [3, -1, -1, 0]])
    model.compile(
        loss=SegmentCrossEntropy(),
        weighted_metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
        jit_compile=False,
    )
    report = model.evaluate(
        inputs, targets, sample_weight=valid.astype("float32"), verbose=0, return_dict=True
    )
    logits = np.asarray(model(inputs))
    probabilities = keras.ops.convert_to_numpy(keras.ops.softmax(logits[valid], axis=-1))
    assert report["accuracy"] == pytest.approx((logits.argmax(-1) == targets)[valid].mean())
    assert report["loss"] == pytest.approx(
        log_loss(targets[valid], probabilities, labels=[0, 1, 2, 3]), rel=1e-4
    )


def test_config_round_trip() -> None:
    loss = keras.losses.deserialize(keras.losses.serialize(SegmentCrossEntropy(0.3)))
    assert isinstance(loss, SegmentCrossEntropy)
    assert loss.label_smoothing == 0.3 and loss.reduction == "mean_with_sample_weight"


def test_wrong_smoothing_is_refused() -> None:
    with pytest.raises(ValueError, match="Received: 1.0"):
        SegmentCrossEntropy(1.0)
