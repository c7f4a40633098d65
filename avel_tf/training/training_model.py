"""Keras model that trains a localizer by the losses of all its outputs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras


class TrainingModel(keras.Model):
    """A localizer and its auxiliary outputs, each with a loss of its own.

    All losses take the same targets and weights, so a batch holds them once. Metrics are
    computed from `output`, or from `logits` where there is none. Evaluation uses the
    averaged weights if there are any.

    Args:
        outputs: A model from the localizer's inputs to `logits` and what else is to be trained.
        losses: By the name of the output.
        loss_weights: Likewise.
    """

    def __init__(
        self,
        outputs: keras.Model,
        losses: dict[str, keras.losses.Loss],
        loss_weights: dict[str, float],
    ) -> None:
        super().__init__(name="training")
        self.parts = outputs
        self.part_losses = losses
        self.part_weights = loss_weights

    def call(self, inputs: dict[str, Any], training: bool | None = None) -> dict[str, Any]:
        """All outputs."""
        return self.parts(inputs, training=training)

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """The weighted sum of the losses."""
        return sum(
            self.part_weights[name] * loss(y, y_pred[name], sample_weight)
            for name, loss in self.part_losses.items()
        )

    def compute_metrics(
        self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None
    ) -> dict[str, Any]:
        """The metrics, of the localizer's own output."""
        logits = y_pred.get("output", y_pred["logits"])
        return super().compute_metrics(x, y, logits, sample_weight)

    def evaluate(self, *arguments: Any, **options: Any) -> Any:
        """As for every Keras model, with the averaged weights."""
        with averaged_weights(self):
            return super().evaluate(*arguments, **options)


@contextmanager
def averaged_weights(model: keras.Model) -> Iterator[None]:
    """Replace the weights of a model by their averages within a context.

    The optimizer keeps the averages (`use_ema`) among its variables, so a checkpoint holds them.
    The own weights are restored bit for bit, unlike by Keras' callback, which adds and subtracts.
    Without averages in the optimizer nothing happens.

    Args:
        model: A compiled model.

    Reference:
        Polyak and Juditsky, Acceleration of Stochastic Approximation by Averaging, 1992; as a
        moving average: Tarvainen and Valpola, Mean Teachers, 2017
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
