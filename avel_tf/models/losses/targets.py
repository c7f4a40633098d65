"""Conversion of targets to the forms that the losses need, and their base class."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


def target_distribution(targets: Any, width: int) -> Any:
    """Targets as a distribution over classes.

    Args:
        targets: int `[B, T]`, out of range at invalid segments; or float `[B, T, C+1]`, from
            mixup; or multi-label, 1 for each class of a segment and in the last column for a
            segment without one.
        width: C+1.

    Returns:
        float32 `[B, T, C+1]`; a row of zeros for a class out of range, so that padding such as -1
        stays finite.

    Raises:
        ValueError: If targets have another shape.
    """
    shape = tuple(ops.shape(targets))
    if len(shape) == 2:
        return ops.one_hot(ops.cast(targets, "int32"), width, dtype="float32")  # [B, T, C+1]
    if len(shape) == 3 and shape[-1] == width:
        return ops.cast(targets, "float32")
    raise ValueError(
        f"Targets must be class indices [B, T] or distributions [B, T, {width}]. "
        f"Received: shape={shape}."
    )


def event_share(targets: Any) -> Any:
    """Share of each segment that is an event.

    Args:
        targets: float `[B, T, C+1]`.

    Returns:
        Float `[B, T]`: 1 for an event (or several), 0 for background, in between after mixup.
    """
    return ops.where(
        ops.any(targets != 0, axis=-1), 1.0 - targets[..., -1], 0.0
    )  # [B, T], 0 for padding


def clip_distribution(targets: Any, valid: Any) -> Any:
    """Distribution over the events of a clip, without their times.

    Args:
        targets: float `[B, T, C+1]`.
        valid: float `[B, T]`, above 0 at valid segments.

    Returns:
        Float `[B, C+1]`: uniform over the events of the clip; background for a clip without one.
        Independent of the times of the events.
    """
    present = ops.expand_dims(ops.cast(valid > 0, targets.dtype), -1)  # [B, T, 1]
    events = ops.max(targets[..., :-1] * present, axis=1)  # [B, C]
    total = ops.sum(events, axis=-1, keepdims=True)  # [B, 1]
    background = ops.relu(1.0 - total)  # [B, 1]
    return ops.concatenate([events / ops.maximum(total, 1.0), background], axis=-1)  # [B, C+1]


def clip_labels(targets: Any, valid: Any) -> Any:
    """Multi-label targets of a clip, without the times of its events.

    Args:
        targets: float `[B, T, C+1]`.
        valid: float `[B, T]`, above 0 at valid segments.

    Returns:
        Float `[B, C+1]`: 1 for each event of the clip, and in the last column for a clip without
        one. Independent of the times of the events.
    """
    present = ops.expand_dims(ops.cast(valid > 0, targets.dtype), -1)  # [B, T, 1]
    events = ops.max(targets[..., :-1] * present, axis=1)  # [B, C]
    return ops.concatenate([events, 1.0 - ops.max(events, axis=-1, keepdims=True)], axis=-1)


def smoothed(distribution: Any, label_smoothing: float) -> Any:
    """A share of the target spread evenly over the classes (Szegedy et al. 2016)."""
    width = distribution.shape[-1]
    return (1.0 - label_smoothing) * distribution + label_smoothing / width


def check_label_smoothing(label_smoothing: float) -> float:
    """Return `label_smoothing`, or refuse a value outside [0, 1).

    Raises:
        ValueError: If it is outside [0, 1).
    """
    if not 0.0 <= label_smoothing < 1.0:
        raise ValueError(
            f"label_smoothing must be at least 0 and below 1. Received: {label_smoothing!r}."
        )
    return label_smoothing


class ValidSecondsLoss(keras.losses.Loss):
    """Base class of losses that need to know which segments are valid.

    Keras multiplies the result of `call` with the sample weight, which suits a loss per segment. A
    loss that compares the segments of a clip must leave out invalid ones itself, so a subclass
    implements `loss_and_weights` instead of `call`.

    Args:
        classes: C, without background.
        name: as for every Keras loss.
        **kwargs: as for every Keras loss.
    """

    def __init__(self, classes: int, name: str | None = None, **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        self.classes = classes

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        outputs = ops.cast(y_pred, "float32")
        targets = target_distribution(ops.convert_to_tensor(y_true), self.classes + 1)
        valid = ops.ones_like(targets[..., 0])  # [B, T]
        if sample_weight is not None:
            valid = ops.cast(sample_weight, "float32")
        values, weights = self.loss_and_weights(targets, outputs, valid)
        return ops.divide_no_nan(ops.sum(values * weights), ops.sum(weights))

    def loss_and_weights(self, targets: Any, outputs: Any, valid: Any) -> tuple[Any, Any]:
        """Loss of each segment or clip, and its weight in the mean.

        Args:
            targets: float32 `[B, T, C+1]`.
            outputs: float32, of the shape in the docstring of the loss.
            valid: float32 `[B, T]`, the sample weight; 0 at invalid segments.

        Returns:
            Values and weights, both `[B, T]` or both `[B]`.
        """
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        # The reduction is always the weighted mean and not configurable.
        config = {**super().get_config(), "classes": self.classes}
        config.pop("reduction")
        return config
