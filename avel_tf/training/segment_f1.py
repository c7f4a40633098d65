"""Segment-based F1 while a model of several labels is trained."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from avel_tf.evaluation.history import CLIP_F1, SEGMENT_F1
from avel_tf.models.losses.multiple_instance_binary_cross_entropy import pooled_probabilities
from avel_tf.models.losses.targets import clip_labels, target_distribution


class SegmentF1(keras.metrics.Metric):
    """F1 over the valid segments of all event classes counted together (micro).

    Every threshold is 0.5, because those of the classes are fitted when training is over. A target
    of at least one half counts as present, which matters where mixup has mixed targets.

    Args:
        name: As for every Keras metric.

    Reference:
        Mesaros et al., Metrics for Polyphonic Sound Event Detection, Applied Sciences 2016.
    """

    def __init__(self, name: str = SEGMENT_F1) -> None:
        super().__init__(name=name)
        self.matched = self.add_weight(name="matched", initializer="zeros")
        self.counted = self.add_weight(name="counted", initializer="zeros")

    def update_state(self, targets: Any, logits: Any, sample_weight: Any = None) -> None:
        """Add a batch.

        Args:
            targets: float [B, T, C+1] or int [B, T].
            logits: [B, T, C+1].
            sample_weight: [B, T], 0 at segments that are not valid.
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
        """2 matched / (true + predicted); 0 where there is neither."""
        return ops.divide_no_nan(2.0 * self.matched, self.counted)


class ClipF1(SegmentF1):
    """F1 over the event classes of whole clips: all that weak labels allow.

    The probabilities of the segments are pooled as the loss under weak supervision pools them.

    Args:
        name: As for every Keras metric.
    """

    def __init__(self, name: str = CLIP_F1) -> None:
        super().__init__(name=name)

    def _count(self, wanted: Any, logits: Any, valid: Any) -> None:
        clips = clip_labels(wanted, valid)[:, :-1] >= 0.5  # [B, C]
        pooled = pooled_probabilities(logits, valid)[:, :-1] >= 0.5  # [B, C]
        self._add(clips, pooled, ops.any(valid > 0, axis=1, keepdims=True))
