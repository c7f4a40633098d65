"""Losses per clip, for class activation and weak supervision."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from avel_tf.models.losses.targets import (
    ValidSecondsLoss,
    check_label_smoothing,
    clip_distribution,
    clip_labels,
    smoothed,
)

# Finite in float32, and its exponential is exactly 0.
_NEVER = -1e9
# Keeps logarithms finite; as `keras.config.epsilon()`.
_LEAST = 1e-7


@keras.saving.register_keras_serializable(package="avel_tf")
class ClipCrossEntropy(ValidSecondsLoss):
    """Cross-entropy between the events of a clip and one row of logits per clip.

    Clips of background only have no loss. Labels of clips suffice.

    Args:
        classes: C, without background.
        name: as for every Keras loss.
        **kwargs: as for every Keras loss.

    Returns:
        A loss of targets int `[B, T]` or float `[B, T, C+1]`, and logits `[B, C]`.

    Reference:
        Xia and Zhao, Cross-Modal Background Suppression for Audio-Visual Event Localization, CVPR
        2022, for class activation.
    """

    def __init__(self, classes: int, name: str = "clip_cross_entropy", **kwargs: Any) -> None:
        super().__init__(classes, name=name, **kwargs)

    def loss_and_weights(self, targets: Any, outputs: Any, valid: Any) -> tuple[Any, Any]:
        events = clip_distribution(targets, valid)[:, :-1]  # [B, C]
        values = -ops.sum(events * ops.log_softmax(outputs, axis=-1), axis=-1)  # [B]
        # A clip that is half background after mixup has half the weight.
        weights = ops.sum(events, axis=-1)  # [B]
        return ops.divide_no_nan(values, weights), weights


@keras.saving.register_keras_serializable(package="avel_tf")
class MultipleInstanceCrossEntropy(ValidSecondsLoss):
    """Cross-entropy between the events of a clip and its segments pooled to one prediction.

    Targets are per segment as for full supervision, but only the set of events in the clip is
    used. A clip without an event is background throughout.

    Args:
        classes: C, without background.
        label_smoothing: share of the target spread evenly over all C+1 classes.
        name: as for every Keras loss.
        **kwargs: as for every Keras loss.

    Returns:
        A loss of targets int `[B, T]` or float `[B, T, C+1]`, and logits `[B, T, C+1]`.

    Reference:
        Tian et al., Audio-Visual Event Localization in Unconstrained Videos, ECCV 2018
        (https://arxiv.org/abs/1803.08842), who average over the segments.
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
        segments = ops.log_softmax(outputs, axis=-1)  # [B, T, C+1]
        segments = ops.where(ops.expand_dims(present, -1) > 0, segments, _NEVER)
        clip = ops.logsumexp(segments, axis=1)  # [B, C+1]
        clip = clip - ops.log(ops.maximum(number, 1.0))[:, None]
        has_segments = ops.cast(number > 0, "float32")  # [B]
        return -ops.sum(wanted * clip, axis=-1) * has_segments, has_segments

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "label_smoothing": self.label_smoothing}


@keras.saving.register_keras_serializable(package="avel_tf")
class MultipleInstanceBinaryCrossEntropy(ValidSecondsLoss):
    """Binary cross-entropy between a clip's events and its segments pooled to one prediction.

    A class occurs in a clip if it occurs in any segment. Its probabilities are pooled by a linear
    softmax, their mean weighted by themselves. Unlike a plain mean this preserves short events,
    and unlike a maximum it gives gradients to more than one segment. A clip has no event if no
    segment has one, so the complement of the last column is pooled in the same way.

    Args:
        classes: C, without background.
        label_smoothing: share of each target spread evenly over all C+1 columns.
        name: as for every Keras loss.
        **kwargs: as for every Keras loss.

    Returns:
        A loss of the targets of `SegmentBinaryCrossEntropy` and logits `[B, T, C+1]`.

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
    """Probabilities of each class in a clip, and of no event.

    Args:
        logits: float32 `[B, T, C+1]`.
        valid: float `[B, T]`, above 0 at valid segments.

    Returns:
        float32 `[B, C+1]`.
    """
    present = ops.expand_dims(ops.cast(valid > 0, "float32"), -1)  # [B, T, 1]
    # The last column is negated: a clip has an event if any segment has one.
    sign = ops.convert_to_tensor([1.0] * (logits.shape[-1] - 1) + [-1.0])  # [C+1]
    occurs = ops.sigmoid(logits * sign) * present  # [B, T, C+1]
    pooled = ops.sum(ops.square(occurs), axis=1) / (ops.sum(occurs, axis=1) + _LEAST)
    return ops.concatenate([pooled[:, :-1], 1.0 - pooled[:, -1:]], axis=-1)  # [B, C+1]
