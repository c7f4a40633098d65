"""Binary cross-entropy over the valid segments, for multi-label models."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from avel_tf.models.losses.targets import check_label_smoothing, smoothed, target_distribution


@keras.saving.register_keras_serializable(package="avel_tf")
class SegmentBinaryCrossEntropy(keras.losses.Loss):
    """Binary cross-entropy of each class, summed over the classes of a segment.

    Averaged over the valid segments, as `SegmentCrossEntropy` is. No class is weighted. A weight on
    a rare class raises its odds by about that factor, which a lower threshold does as well, and
    thresholds are fitted after training; without weights probabilities stay calibrated.

    Args:
        label_smoothing: share of each target that is spread evenly over all C+1 columns.
        reduction: as for every Keras loss; the default is the mean over valid segments.
        name: as for every Keras loss.
        **kwargs: as for every Keras loss.

    Returns:
        A loss of targets float `[B, T, C+1]`, 1 for each class that a segment has and in the last
        column where it has none (or int `[B, T]`, one class each), and logits `[B, T, C+1]`.

    Raises:
        ValueError: label_smoothing is not a share.
    """

    def __init__(
        self,
        label_smoothing: float = 0.0,
        reduction: str | None = "mean_with_sample_weight",
        name: str = "segment_binary_cross_entropy",
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, reduction=reduction, **kwargs)
        self.label_smoothing = check_label_smoothing(label_smoothing)

    def call(self, targets: Any, logits: Any) -> Any:
        wanted = target_distribution(targets, logits.shape[-1])  # [B, T, C+1]
        wanted = smoothed(wanted, self.label_smoothing)
        return ops.sum(ops.softplus(logits) - wanted * logits, axis=-1)  # [B, T]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "label_smoothing": self.label_smoothing}
