"""The optimizer of localizers, against that of Keras."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from avel_tf.training.scheduled_adamw import ScheduledAdamW

RATES = keras.optimizers.schedules.CosineDecay(0.0, 8, warmup_target=0.1, warmup_steps=2)


def fitted(optimizer: keras.optimizers.Optimizer) -> keras.Model:
    model = keras.Sequential(
        [
            keras.Input((5,)),
            keras.layers.Dense(7, "relu", kernel_initializer=keras.initializers.GlorotUniform(1)),
            keras.layers.Dense(2, kernel_initializer=keras.initializers.GlorotUniform(2)),
        ]
    )
    model.compile(optimizer, "mse", jit_compile=False)
    rng = np.random.default_rng(0)
    data = rng.normal(size=(24, 5)), rng.normal(size=(24, 2))
    model.fit(*data, batch_size=4, shuffle=False, verbose=0)
    return model


def test_weights_and_rates_are_those_of_keras():
    options = {"weight_decay": 0.5, "global_clipnorm": 1.0, "use_ema": True}
    ours = fitted(ScheduledAdamW(RATES, **options))
    theirs = fitted(keras.optimizers.AdamW(RATES, **options))
    for mine, other in zip(ours.optimizer.variables, theirs.optimizer.variables, strict=True):
        np.testing.assert_array_equal(mine, other)
    for mine, other in zip(ours.weights, theirs.weights, strict=True):
        np.testing.assert_array_equal(mine, other)
    assert float(ours.optimizer.learning_rate) == pytest.approx(float(RATES(6)))
