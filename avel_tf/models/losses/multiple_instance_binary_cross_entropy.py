"""Loss for weakly supervised multi-label models."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from avel_tf.models.losses.targets import (
    ValidSecondsLoss,
    check_label_smoothing,
    clip_labels,
    smoothed,
)

# Keeps logarithms finite; as `keras.config.epsilon()`.
_LEAST = 1e-7


@keras.saving.register_keras_serializable(package="avel_tf")
class MultipleInstanceBinaryCrossEntropy(ValidSecondsLoss):
    """Binary cross-entropy between a clip's events and its segments pooled to one prediction.

    A class occurs in a clip if it occurs in any segment. Its probabilities are pooled by a linear
    softmax, their mean weighted by themselves: a short event is then not drowned by the segments
    without it, as by a plain mean, and more than one segment learns, unlike with the maximum. A
    clip without an event is one in which "no event" holds in every segment, so the complement of
    the last column is pooled in the same way.

    Args:
        classes: C, without background.
        label_smoothing: share of each target that is spread evenly over all C+1 columns.
        name: as for every Keras loss.
        **kwargs: as for every Keras loss.

    Returns:
        A loss of targets as of `SegmentBinaryCrossEntropy` and logits `[B, T, C+1]`.

    Reference:
        Wang, Li and Metze, A Comparison of Five Multiple Instance Learning Pooling Functions for
        Sound Event Detection with Weak Labeling, ICASSP 2019 (https://arxiv.org/abs/1810.09050).
    """

    def __init__(
        self,
        classes: int,
        label_smoothing: float = 0.0,
        name: str = "multiple_instance_binary_cross_entropy",
        **kwargs: Any,
    ) -> None:
        super().__init__(classes, name=name, **kwargs)
        self.label_smoothing = check_label_smoothing(label_smoothing)

    def loss_and_weights(self, targets: Any, outputs: Any, valid: Any) -> tuple[Any, Any]:
        wanted = smoothed(clip_labels(targets, valid), self.label_smoothing)  # [B, C+1]
        pooled = pooled_probabilities(outputs, valid)  # [B, C+1]
        pooled = ops.clip(pooled, _LEAST, 1.0 - _LEAST)
        values = -wanted * ops.log(pooled) - (1.0 - wanted) * ops.log(1.0 - pooled)  # [B, C+1]
        has_segments = ops.cast(ops.any(valid > 0, axis=1), "float32")  # [B]
        return ops.sum(values, axis=-1) * has_segments, has_segments

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "label_smoothing": self.label_smoothing}


def pooled_probabilities(logits: Any, valid: Any) -> Any:
    """Probabilities that a clip holds each class, and that it holds none.

    Args:
        logits: float32 `[B, T, C+1]`.
        valid: float `[B, T]`, above 0 at valid segments.

    Returns:
        float32 `[B, C+1]`.
    """
    present = ops.expand_dims(ops.cast(valid > 0, "float32"), -1)  # [B, T, 1]
    # Of the last column the complement, that there is an event: a clip has one if a segment has.
    sign = ops.convert_to_tensor([1.0] * (logits.shape[-1] - 1) + [-1.0])  # [C+1]
    occurs = ops.sigmoid(logits * sign) * present  # [B, T, C+1]
    pooled = ops.sum(ops.square(occurs), axis=1) / (ops.sum(occurs, axis=1) + _LEAST)
    return ops.concatenate([pooled[:, :-1], 1.0 - pooled[:, -1:]], axis=-1)  # [B, C+1]
