"""Cross-entropy over the valid segments."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from avel_tf.models.losses.targets import check_label_smoothing, smoothed, target_distribution


@keras.saving.register_keras_serializable(package="avel_tf")
class SegmentCrossEntropy(keras.losses.Loss):
    """Cross-entropy per second, averaged over the valid seconds of a batch.

    Pass `valid` as sample weight: `model.fit` gives it to the loss and to every weighted metric, so
    a batch is `(inputs, targets, valid as float32 [B, T])`. The sum is divided by the sum of the
    weights, so padding does not dilute the loss. The loss of a batch without a valid segment is 0.

    Args:
        label_smoothing: share of the target that is spread evenly over all C+1 classes.
        reduction: as for every Keras loss; the default is the mean over valid seconds.
        name: as for every Keras loss.
        **kwargs: as for every Keras loss.

    Returns:
        A loss of targets int `[B, T]` (anything at invalid seconds) or float `[B, T, C+1]`, and
        logits `[B, T, C+1]`.

    Raises:
        ValueError: label_smoothing is not a share.

    Example:
        >>> accuracy = keras.metrics.SparseCategoricalAccuracy(name="accuracy")
        >>> model.compile(
        ...     "adamw", SegmentCrossEntropy(0.1), weighted_metrics=[accuracy], jit_compile=False
        ... )
        >>> model.fit(inputs, targets, sample_weight=inputs["valid"].astype("float32"))
    """

    def __init__(
        self,
        label_smoothing: float = 0.0,
        reduction: str | None = "mean_with_sample_weight",
        name: str = "segment_cross_entropy",
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, reduction=reduction, **kwargs)
        self.label_smoothing = check_label_smoothing(label_smoothing)

    def call(self, targets: Any, logits: Any) -> Any:
        wanted = target_distribution(targets, logits.shape[-1])  # [B, T, C+1]
        wanted = smoothed(wanted, self.label_smoothing)
        return -ops.sum(wanted * ops.log_softmax(logits, axis=-1), axis=-1)  # [B, T]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "label_smoothing": self.label_smoothing}
