"""Optimizer of the localizers."""

from __future__ import annotations

from typing import Any

import keras


class ScheduledAdamW(keras.optimizers.AdamW):
    """AdamW that evaluates the schedule of its learning rate once per step.

    That of Keras does so for each weight that decays. The updates are the same to the bit, and the
    graph of a step, which is built at the start of each training, is smaller.
    """

    _rate_of_step: Any = None

    @property
    def learning_rate(self) -> Any:
        """The rate of the next step, float32 scalar."""
        return super().learning_rate if self._rate_of_step is None else self._rate_of_step

    def apply(self, grads: Any, trainable_variables: Any = None) -> None:
        """Update the variables by their gradients."""
        self._rate_of_step = self.learning_rate
        try:
            super().apply(grads, trainable_variables)
        finally:
            self._rate_of_step = None
