"""Keras metrics of logits and targets per segment; `avel_tf.metrics` is the public name.

All take `valid` as sample weight, so pass them to `compile` as `weighted_metrics`.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from avel_tf.evaluation.history import CLIP_ACCURACY, CLIP_F1, SEGMENT_ACCURACY, SEGMENT_F1
from avel_tf.models.losses.clip_losses import pooled_probabilities
from avel_tf.models.losses.targets import clip_distribution, clip_labels, target_distribution


@keras.saving.register_keras_serializable(package="avel_tf")
class SegmentAccuracy(keras.metrics.Mean):
    """Share of the valid segments whose class is right.

    The class of a target distribution, as mixup makes it, is the one with the largest share.

    Args:
        name: As for every Keras metric.
        **kwargs: As for every Keras metric.

    Example:
        >>> metric = SegmentAccuracy()
        >>> metric.update_state(np.array([[0, 1]]), np.array([[[2.0, 0.0], [2.0, 0.0]]]))
        >>> float(metric.result())
        0.5
    """

    def __init__(self, name: str = SEGMENT_ACCURACY, **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)

    def update_state(self, targets: Any, logits: Any, sample_weight: Any = None) -> None:
        """Add a batch.

        Args:
            targets: int [B, T] or float [B, T, C+1].
            logits: [B, T, C+1].
            sample_weight: [B, T], 0 at invalid segments.
        """
        if len(targets.shape) == 3:
            targets = ops.argmax(targets, axis=-1)  # [B, T]
        right = ops.equal(ops.cast(targets, "int32"), ops.argmax(logits, axis=-1))  # [B, T]
        super().update_state(ops.cast(right, "float32"), sample_weight=sample_weight)


@keras.saving.register_keras_serializable(package="avel_tf")
class ClipAccuracy(keras.metrics.Mean):
    """Share of the clips whose most probable class occurs in them, for weak supervision.

    The probability of a class in a clip is its mean over the valid segments, as in
    `MultipleInstanceCrossEntropy`.

    Args:
        name: As for every Keras metric.
        **kwargs: As for every Keras metric.
    """

    def __init__(self, name: str = CLIP_ACCURACY, **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)

    def update_state(self, targets: Any, logits: Any, sample_weight: Any = None) -> None:
        """Add a batch.

        Args:
            targets: int [B, T] or float [B, T, C+1]; only the events of the clip are used.
            logits: [B, T, C+1].
            sample_weight: [B, T], 0 at invalid segments.
        """
        targets = target_distribution(targets, logits.shape[-1])  # [B, T, C+1]
        weights = ops.ones_like(targets[..., 0]) if sample_weight is None else sample_weight
        valid = ops.cast(weights, "float32")  # [B, T]
        pooled = ops.sum(ops.softmax(logits) * valid[..., None], axis=1)  # [B, C+1]
        named = ops.one_hot(ops.argmax(pooled, axis=-1), logits.shape[-1])  # [B, C+1]
        held = clip_distribution(targets, valid)  # [B, C+1]
        held = ops.cast(held == ops.max(held, axis=-1, keepdims=True), "float32")
        present = ops.cast(ops.any(valid > 0, axis=1), "float32")  # [B]
        super().update_state(ops.sum(named * held, axis=-1), sample_weight=present)


@keras.saving.register_keras_serializable(package="avel_tf")
class SegmentF1(keras.metrics.Metric):
    """Micro-averaged F1 of the event classes over the valid segments, for multi-label models.

    All thresholds are 0.5, because those of the classes are fitted after training. A target of at
    least 0.5 counts as present, which matters after mixup.

    Args:
        name: As for every Keras metric.
        **kwargs: As for every Keras metric.

    Reference:
        Mesaros et al., Metrics for Polyphonic Sound Event Detection, Applied Sciences 2016.
    """

    def __init__(self, name: str = SEGMENT_F1, **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        self.matched = self.add_weight(name="matched", initializer="zeros")
        self.counted = self.add_weight(name="counted", initializer="zeros")

    def update_state(self, targets: Any, logits: Any, sample_weight: Any = None) -> None:
        """Add a batch.

        Args:
            targets: float [B, T, C+1] or int [B, T].
            logits: [B, T, C+1].
            sample_weight: [B, T], 0 at invalid segments.
        """
        wanted = target_distribution(targets, logits.shape[-1])  # [B, T, C+1]
        present = ops.ones_like(wanted[..., 0]) if sample_weight is None else sample_weight
        self._count(wanted, ops.cast(logits, "float32"), ops.cast(present > 0, "float32"))

    def _count(self, wanted: Any, logits: Any, valid: Any) -> None:
        self._add(wanted[..., :-1] >= 0.5, logits[..., :-1] >= 0, ops.expand_dims(valid, -1))

    def _add(self, wanted: Any, found: Any, weights: Any) -> None:
        wanted, found, weights = (ops.cast(each, "float32") for each in (wanted, found, weights))
        self.matched.assign_add(ops.sum(wanted * found * weights))
        self.counted.assign_add(ops.sum((wanted + found) * weights))

    def result(self) -> Any:
        """2 * matched / (true + predicted), or 0 if there are neither."""
        return ops.divide_no_nan(2.0 * self.matched, self.counted)


@keras.saving.register_keras_serializable(package="avel_tf")
class ClipF1(SegmentF1):
    """Micro-averaged F1 of the event classes over clips, for weakly supervised multi-label models.

    The probabilities of the segments are pooled as in `MultipleInstanceBinaryCrossEntropy`.

    Args:
        name: As for every Keras metric.
        **kwargs: As for every Keras metric.
    """

    def __init__(self, name: str = CLIP_F1, **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)

    def _count(self, wanted: Any, logits: Any, valid: Any) -> None:
        clips = clip_labels(wanted, valid)[:, :-1] >= 0.5  # [B, C]
        pooled = pooled_probabilities(logits, valid)[:, :-1] >= 0.5  # [B, C]
        self._add(clips, pooled, ops.any(valid > 0, axis=1, keepdims=True))
