"""The mean of the weights over the last steps, in their place for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import keras


@contextmanager
def averaged_weights(model: keras.Model) -> Iterator[None]:
    """Let a model have its averaged weights; afterwards each has its own back, bit for bit.

    The optimizer keeps the averages (`use_ema`) among its variables, so a checkpoint holds them.
    Keras' own callback swaps by adding and subtracting, which rounds. Without averages in the
    optimizer nothing happens.

    Args:
        model: A compiled model.

    Reference:
        Polyak and Juditsky, Acceleration of Stochastic Approximation by Averaging, 1992; with a
        mean that forgets: Tarvainen and Valpola, Mean Teachers, 2017
        (https://arxiv.org/abs/1703.01780).
    """
    averages = [each for each in model.optimizer.variables if each.name.endswith("_average")]
    weights = model.trainable_variables if averages else []
    own = [keras.ops.convert_to_numpy(weight).copy() for weight in weights]
    for weight, average in zip(weights, averages, strict=True):
        weight.assign(average)
    try:
        yield
    finally:
        for weight, value in zip(weights, own, strict=True):
            weight.assign(value)
