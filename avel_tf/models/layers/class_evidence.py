"""Evidence for classes from the class scores of two backbones, without training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import layers, ops

# Smallest evidence, so that logarithms are finite.
_SMALLEST = 1e-6


@keras.saving.register_keras_serializable(package="avel_tf")
class ClassEvidence(layers.Layer):
    """Score of each class, from columns of the features.

    Args:
        columns: For each of the C classes, the indices of its features.
        reduction: `sum` of the columns of a class, for scores that are a distribution, or `max`,
            for independent scores.
        chance: For each class, its score in a uniform distribution, which becomes 0, and lower
            scores with it; a score of 1 stays. None for no change.

    Call:
        float [B, T, D] to float [B, T, C].
    """

    def __init__(
        self,
        columns: Sequence[Sequence[int]],
        reduction: str,
        chance: Sequence[float] | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(**settings)
        if reduction not in ("sum", "max"):
            raise ValueError(f"reduction must be 'sum' or 'max'. Received: {reduction!r}.")
        self.columns = [list(map(int, each)) for each in columns]
        self.reduction = reduction
        self.chance = list(map(float, chance)) if chance else None

    def call(self, features: Any) -> Any:
        scores = self._reduce(features)  # [B, T, C]
        if self.chance is None:
            return scores
        chance = ops.convert_to_tensor(self.chance, dtype=scores.dtype)
        return ops.maximum((scores - chance) / (1.0 - chance), 0.0)

    def _reduce(self, features: Any) -> Any:
        if self.reduction == "sum":
            # As a product with a matrix of zeros and ones.
            first = min(map(min, self.columns))
            matrix = np.zeros([features.shape[-1] - first, len(self.columns)], np.float32)
            for place, columns in enumerate(self.columns):
                matrix[[column - first for column in columns], place] = 1.0
            return ops.matmul(features[..., first:], ops.cast(matrix, features.dtype))
        # Repeated columns fill the shorter lists; they do not change a maximum.
        longest = max(map(len, self.columns))
        padded = np.array([each + each[:1] * (longest - len(each)) for each in self.columns])
        scores = ops.take(features, padded.reshape(-1), axis=-1)  # [B, T, C * longest]
        shape = (*ops.shape(features)[:2], len(self.columns), longest)
        return ops.max(ops.reshape(scores, shape), axis=-1)

    def compute_output_shape(self, shape: Sequence[int | None]) -> tuple[int | None, ...]:
        return (*shape[:-1], len(self.columns))

    def get_config(self) -> dict[str, Any]:
        settings = {"columns": self.columns, "reduction": self.reduction, "chance": self.chance}
        return {**super().get_config(), **settings}


@keras.saving.register_keras_serializable(package="avel_tf")
class ValidMovingMean(layers.Layer):
    """Mean over a segment and its neighbours, without those that are not valid.

    Args:
        segments: Length of the window in segments, odd.

    Call:
        float [B, T, C] and valid bool [B, T] to float [B, T, C]; zero without a valid segment.
    """

    def __init__(self, segments: int = 3, **settings: Any) -> None:
        super().__init__(**settings)
        if segments < 1 or segments % 2 == 0:
            raise ValueError(f"segments must be an odd number of at least 1. Received: {segments}.")
        self.segments = segments

    def call(self, scores: Any, valid: Any) -> Any:
        present = ops.expand_dims(ops.cast(valid, scores.dtype), -1)  # [B, T, 1]
        total = self._window_sum(ops.where(present > 0.0, scores, 0.0))
        return total / ops.maximum(self._window_sum(present), 1.0)

    def _window_sum(self, x: Any) -> Any:
        side = self.segments // 2
        length = ops.shape(x)[1]
        padded = ops.pad(x, [[0, 0], [side, side], [0, 0]])  # [B, T + 2 * side, C]
        return sum(padded[:, start : start + length] for start in range(self.segments))

    def compute_output_shape(self, shape: Any, *_: Any) -> Any:
        return shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "segments": self.segments}


@keras.saving.register_keras_serializable(package="avel_tf")
class GeometricMeanLogits(layers.Layer):
    """Logits of classes that are both seen and heard.

    The evidence of a class is the geometric mean of its two scores, and zero if one of them is
    below the floor. A softmax over the logits gives background half of the probability where the
    evidence of one class equals the threshold.

    Args:
        floor: Smallest score of each modality.
        thresholds: Evidence of each class at which it is as probable as background, [C].

    Call:
        Visual and audio scores float [B, T, C] to logits float [B, T, C+1], background last.
    """

    def __init__(self, floor: float, thresholds: Sequence[float], **settings: Any) -> None:
        super().__init__(**settings)
        self.floor = float(floor)
        self.thresholds = list(map(float, thresholds))

    def call(self, visual: Any, audio: Any) -> Any:
        enough = ops.logical_and(visual >= self.floor, audio >= self.floor)
        evidence = ops.where(enough, ops.sqrt(ops.maximum(visual * audio, 0.0)), 0.0)  # [B, T, C]
        thresholds = ops.convert_to_tensor(self.thresholds, dtype=evidence.dtype)
        logits = ops.log(ops.maximum(evidence, _SMALLEST) / thresholds)
        return ops.pad(logits, [[0, 0], [0, 0], [0, 1]])  # the logit of background is 0

    def compute_output_shape(self, shape: Sequence[int | None], *_: Any) -> tuple[int | None, ...]:
        return (*shape[:-1], len(self.thresholds) + 1)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "floor": self.floor, "thresholds": self.thresholds}
