"""How many clips are named right."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from avel_tf.evaluation.history import CLIP_ACCURACY


class ClipAccuracy(keras.metrics.Mean):
    """Share of the clips whose likeliest class is one that they hold: all that weak labels allow.

    The probabilities of the seconds are pooled as the loss under weak supervision pools them, by
    their mean over the valid seconds.

    Args:
        name: As for every Keras metric.
    """

    def __init__(self, name: str = CLIP_ACCURACY) -> None:
        super().__init__(name=name)

    def update_state(self, targets: Any, logits: Any, sample_weight: Any) -> None:
        """Add a batch.

        Args:
            targets: float [B, T, C+1], the same at every second: what the clip holds.
            logits: [B, T, C+1].
            sample_weight: [B, T], 0 at seconds that are not valid.
        """
        valid = ops.cast(sample_weight, "float32")[..., None]  # [B, T, 1]
        pooled = ops.sum(ops.softmax(logits) * valid, axis=1)  # [B, C+1]
        named = ops.one_hot(ops.argmax(pooled, axis=-1), logits.shape[-1])  # [B, C+1]
        held = ops.cast(targets[:, 0] == ops.max(targets[:, 0], axis=-1, keepdims=True), "float32")
        there = ops.cast(ops.max(valid, axis=(1, 2)) > 0, "float32")  # [B]
        super().update_state(ops.sum(named * held, axis=-1), sample_weight=there)
