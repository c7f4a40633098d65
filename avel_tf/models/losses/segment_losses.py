"""Losses per segment: cross-entropy for one label, binary cross-entropy for several."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from avel_tf.models.losses.targets import (
    ValidSecondsLoss,
    check_label_smoothing,
    event_share,
    smoothed,
    target_distribution,
)


class _SegmentLoss(keras.losses.Loss):
    """Base of the losses that compare the logits of each segment with smoothed targets."""

    def __init__(
        self, label_smoothing: float, reduction: str | None, name: str, **kwargs: Any
    ) -> None:
        super().__init__(name=name, reduction=reduction, **kwargs)
        self.label_smoothing = check_label_smoothing(label_smoothing)

    def call(self, targets: Any, logits: Any) -> Any:
        wanted = target_distribution(targets, logits.shape[-1])  # [B, T, C+1]
        return self.of_distribution(smoothed(wanted, self.label_smoothing), logits)  # [B, T]

    def of_distribution(self, wanted: Any, logits: Any) -> Any:
        """Loss [B, T] of logits against target shares, both [B, T, C+1]."""
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "label_smoothing": self.label_smoothing}


@keras.saving.register_keras_serializable(package="avel_tf")
class SegmentCrossEntropy(_SegmentLoss):
    """Cross-entropy per segment, averaged over the valid segments of a batch.

    Pass `valid` as sample weight: `model.fit` gives it to the loss and to every weighted metric, so
    a batch is `(inputs, targets, valid as float32 [B, T])`. The sum is divided by the sum of the
    weights, so padding does not dilute the loss. The loss of a batch without a valid segment is 0.

    Args:
        label_smoothing: share of the target spread evenly over all C+1 classes.
        reduction: as for every Keras loss; the default is the mean over valid segments.
        name: as for every Keras loss.
        **kwargs: as for every Keras loss.

    Returns:
        A loss of targets int `[B, T]` (any value at invalid segments) or float `[B, T, C+1]`, and
        logits `[B, T, C+1]`.

    Raises:
        ValueError: If label_smoothing is outside [0, 1).

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
        super().__init__(label_smoothing, reduction, name, **kwargs)

    def of_distribution(self, wanted: Any, logits: Any) -> Any:
        return -ops.sum(wanted * ops.log_softmax(logits, axis=-1), axis=-1)  # [B, T]


@keras.saving.register_keras_serializable(package="avel_tf")
class SegmentBinaryCrossEntropy(_SegmentLoss):
    """Binary cross-entropy of each class, summed over the classes of a segment.

    Averaged over the valid segments, as in `SegmentCrossEntropy`. Classes are not weighted: a
    weight on a rare class raises its odds by about that factor, which a lower threshold does as
    well, and thresholds are fitted after training. Without weights probabilities stay calibrated.

    Args:
        label_smoothing: share of each target spread evenly over all C+1 columns.
        reduction: as for every Keras loss; the default is the mean over valid segments.
        name: as for every Keras loss.
        **kwargs: as for every Keras loss.

    Returns:
        A loss of targets float `[B, T, C+1]`, 1 for each class of a segment, and in the last column
        for a segment without one (or int `[B, T]`, one class each), and logits `[B, T, C+1]`.

    Raises:
        ValueError: If label_smoothing is outside [0, 1).
    """

    def __init__(
        self,
        label_smoothing: float = 0.0,
        reduction: str | None = "mean_with_sample_weight",
        name: str = "segment_binary_cross_entropy",
        **kwargs: Any,
    ) -> None:
        super().__init__(label_smoothing, reduction, name, **kwargs)

    def of_distribution(self, wanted: Any, logits: Any) -> Any:
        return ops.sum(ops.softplus(logits) - wanted * logits, axis=-1)  # [B, T]


@keras.saving.register_keras_serializable(package="avel_tf")
class EventCrossEntropy(ValidSecondsLoss):
    """Binary cross-entropy between event and background, averaged over the valid segments.

    Args:
        classes: C, without background.
        name: as for every Keras loss.
        **kwargs: as for every Keras loss.

    Returns:
        A loss of targets int `[B, T]` or float `[B, T, C+1]`, and logits `[B, T, 1]`.

    Reference:
        Xia and Zhao, Cross-Modal Background Suppression for Audio-Visual Event Localization, CVPR
        2022, for their gates.
    """

    def __init__(self, classes: int, name: str = "event_cross_entropy", **kwargs: Any) -> None:
        super().__init__(classes, name=name, **kwargs)

    def loss_and_weights(self, targets: Any, outputs: Any, valid: Any) -> tuple[Any, Any]:
        logits = outputs[..., 0]  # [B, T]
        return ops.softplus(logits) - event_share(targets) * logits, valid
