"""Several losses over one set of targets, and weights that are averaged."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from avel_tf.training.metrics import SegmentAccuracy
from avel_tf.training.training_model import TrainingModel, averaged_weights

RNG = np.random.default_rng(0)
FEATURES = RNG.normal(size=(8, 3, 2)).astype("float32")
TARGETS = np.repeat(np.eye(4, dtype="float32")[RNG.integers(4, size=8)][:, None], 3, axis=1)
VALID = np.ones((8, 3), "float32")


class Squares(keras.losses.Loss):
    """Something that tells outputs apart."""

    def call(self, y_true, y_pred):
        return keras.ops.mean((y_true - y_pred) ** 2, axis=-1)


def model_of(losses: dict[str, float], momentum: float = 0.0) -> tuple[keras.Model, TrainingModel]:
    """A localizer of one layer beside a second output."""
    keras.utils.set_random_seed(1)
    inputs = keras.Input((None, 2))
    logits = keras.layers.Dense(4, name="one")(inputs)
    other = keras.layers.Dense(4, name="two")(inputs)
    outputs = keras.Model(inputs, {"logits": logits, "other": other})
    model = TrainingModel(outputs, {name: Squares() for name in losses}, losses)
    model.compile(
        keras.optimizers.SGD(0.1, use_ema=momentum > 0, ema_momentum=momentum),
        weighted_metrics=[SegmentAccuracy()],
        jit_compile=False,
    )
    model.optimizer.build(model.trainable_variables)
    return keras.Model(inputs, logits), model


def test_the_loss_is_a_weighted_sum_and_metrics_use_logits():
    localizer, model = model_of({"logits": 1.0, "other": 0.25})
    found = model.evaluate(FEATURES, TARGETS, sample_weight=VALID, return_dict=True, verbose=0)
    outputs = {name: np.array(value) for name, value in model(FEATURES).items()}
    squares = {name: ((TARGETS - value) ** 2).mean() for name, value in outputs.items()}
    assert found["loss"] == pytest.approx(squares["logits"] + 0.25 * squares["other"], rel=1e-5)
    right = (outputs["logits"].argmax(-1) == TARGETS.argmax(-1)).mean()
    assert found["segment_accuracy"] == pytest.approx(right)
    np.testing.assert_array_equal(localizer(FEATURES), outputs["logits"])
    # Names without the outputs' in front: one history, whatever was trained beside the logits.
    history = model.fit(FEATURES, TARGETS, sample_weight=VALID, verbose=0).history
    assert set(history) == {"loss", "segment_accuracy"}


def test_weights_are_averaged_and_restored_bit_for_bit():
    localizer, model = model_of({"logits": 1.0}, momentum=0.5)
    weight = model.trainable_variables[0]
    seen = []
    for _ in range(4):
        model.train_on_batch(FEATURES, TARGETS, VALID)
        seen.append(np.array(weight))
    # The first step is where the mean begins (Keras).
    mean = seen[0]
    for later in seen[1:]:
        mean = 0.5 * mean + 0.5 * later
    state = [np.array(variable) for variable in (*model.variables, *model.optimizer.variables)]
    with averaged_weights(model):
        np.testing.assert_allclose(weight, mean, rtol=1e-5)
        assert not np.array_equal(weight, seen[-1])
        inside = np.array(localizer(FEATURES))
    for variable, before in zip((*model.variables, *model.optimizer.variables), state, strict=True):
        np.testing.assert_array_equal(variable, before)
    # Validation sees the mean.
    found = model.evaluate(FEATURES, TARGETS, sample_weight=VALID, return_dict=True, verbose=0)
    assert found["loss"] == pytest.approx(((inside - TARGETS) ** 2).mean(), rel=1e-5)


def test_weights_come_back_after_an_error():
    _, model = model_of({"logits": 1.0}, momentum=0.5)
    model.train_on_batch(FEATURES, TARGETS, VALID)
    model.train_on_batch(FEATURES, TARGETS, VALID)
    before = np.array(model.trainable_variables[0])
    with pytest.raises(KeyboardInterrupt), averaged_weights(model):
        raise KeyboardInterrupt
    np.testing.assert_array_equal(model.trainable_variables[0], before)


def test_without_averaging_nothing_happens():
    _, model = model_of({"logits": 1.0})
    before = np.array(model.trainable_variables[0])
    with averaged_weights(model):
        np.testing.assert_array_equal(model.trainable_variables[0], before)
