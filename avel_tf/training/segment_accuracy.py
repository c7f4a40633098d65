"""How many seconds are right."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from avel_tf.evaluation.history import SEGMENT_ACCURACY


class SegmentAccuracy(keras.metrics.Mean):
    """Share of the valid seconds whose class is right.

    Where mixup has made distributions of the targets, the class with the largest share is right.

    Args:
        name: As for every Keras metric.
    """

    def __init__(self, name: str = SEGMENT_ACCURACY) -> None:
        super().__init__(name=name)

    def update_state(self, targets: Any, logits: Any, sample_weight: Any = None) -> None:
        """Add a batch.

        Args:
            targets: int [B, T] or float [B, T, C+1].
            logits: [B, T, C+1].
            sample_weight: [B, T], 0 at seconds that are not valid.
        """
        if len(targets.shape) == 3:
            targets = ops.argmax(targets, axis=-1)  # [B, T]
        right = ops.equal(ops.cast(targets, "int32"), ops.argmax(logits, axis=-1))  # [B, T]
        super().update_state(ops.cast(right, "float32"), sample_weight=sample_weight)
