"""Loss for weak supervision: the events of a clip without their times."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from avel_tf.models.losses.targets import (
    ValidSecondsLoss,
    check_label_smoothing,
    clip_distribution,
    smoothed,
)

# Finite in float32, and its exponential exactly 0.
_NEVER = -1e9


@keras.saving.register_keras_serializable(package="avel_tf")
class MultipleInstanceCrossEntropy(ValidSecondsLoss):
    """Cross-entropy between a clip's events and its seconds pooled to one prediction.

    The targets are those of every second, as for full supervision, but nothing of them is used
    beyond the set of events that occur in the clip; a clip without one is background throughout.

    Args:
        classes: C, without background.
        label_smoothing: share of the target that is spread evenly over all C+1 classes.
        name: as for every Keras loss.
        **kwargs: as for every Keras loss.

    Returns:
        A loss of targets int `[B, T]` or float `[B, T, C+1]`, and logits `[B, T, C+1]`.

    Reference:
        Tian et al., Audio-Visual Event Localization in Unconstrained Videos, ECCV 2018
        (https://arxiv.org/abs/1803.08842), who average over the seconds.
    """

    def __init__(
        self,
        classes: int,
        label_smoothing: float = 0.0,
        name: str = "multiple_instance_cross_entropy",
        **kwargs: Any,
    ) -> None:
        super().__init__(classes, name=name, **kwargs)
        self.label_smoothing = check_label_smoothing(label_smoothing)

    def loss_and_weights(self, targets: Any, outputs: Any, valid: Any) -> tuple[Any, Any]:
        wanted = smoothed(clip_distribution(targets, valid), self.label_smoothing)  # [B, C+1]
        present = ops.cast(valid > 0, "float32")  # [B, T]
        number = ops.sum(present, axis=1)  # [B]
        seconds = ops.log_softmax(outputs, axis=-1)  # [B, T, C+1]
        seconds = ops.where(ops.expand_dims(present, -1) > 0, seconds, _NEVER)
        clip = ops.logsumexp(seconds, axis=1)  # [B, C+1]
        clip = clip - ops.log(ops.maximum(number, 1.0))[:, None]
        has_seconds = ops.cast(number > 0, "float32")  # [B]
        return -ops.sum(wanted * clip, axis=-1) * has_seconds, has_seconds

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "label_smoothing": self.label_smoothing}
