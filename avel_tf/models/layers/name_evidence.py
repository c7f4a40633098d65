"""Zero-shot evidence for the classes of a data set that the class table has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from avel_tf.models.layers.class_evidence import ClassEvidence

# Added to the geometric mean before its logarithm: 0.01 to 0.05 are scores of things that are
# neither seen nor heard.
SMALLEST = 0.02


@keras.saving.register_keras_serializable(package="avel_tf")
class NameEvidence(keras.layers.Layer):
    """Class logits from the scores of two backbones for what the classes are called.

    The evidence of a class is the logarithm of the geometric mean of its scores, minus its mean
    over the training clips, so that classes without a score of their own are neither preferred nor
    excluded. Until `weight` is assigned, all logits are 0.

    Args:
        classes: K indices among the C classes, of those with scores.
        scores: Arguments of `ClassEvidence` for the K classes, for each modality.
        outputs: C.
        **kwargs: as for every Keras layer.

    Returns:
        A layer that maps a list of clip means float32 `[B, D]`, one per modality, to `[B, C]`.
    """

    def __init__(
        self,
        classes: Sequence[int],
        scores: Sequence[dict[str, Any]],
        outputs: int,
        **kwargs: Any,
    ) -> None:
        super().__init__(**{**kwargs, "dtype": "float32", "trainable": False})
        self.classes = list(map(int, classes))
        self.scores = [dict(each) for each in scores]
        self.outputs = int(outputs)
        self._evidence = [ClassEvidence(**each, dtype="float32") for each in self.scores]

    def build(self, means_shape: Sequence[Sequence[int | None]]) -> None:
        self.center = self.add_weight(
            name="center", shape=(len(self.classes),), initializer="zeros"
        )  # [K]
        self.weight = self.add_weight(name="weight", shape=(), initializer="zeros")  # []

    def call(self, means: Sequence[Any]) -> Any:
        logits = self.weight * (self._logarithm(means) - self.center)  # [B, K]
        places = np.eye(self.outputs, dtype=np.float32)[self.classes]  # [K, C]
        return ops.matmul(logits, places)

    def fit_center(self, means: Sequence[np.ndarray]) -> np.ndarray:
        """Fit the means over training clips [N, D], and return their logits [N, C] for weight 1."""
        logarithm = np.asarray(self._logarithm([each.astype(np.float32) for each in means]))
        self.center.assign(logarithm.mean(axis=0))
        logits = np.zeros((len(logarithm), self.outputs))
        logits[:, self.classes] = logarithm - logarithm.mean(axis=0)
        return logits

    def _logarithm(self, means: Sequence[Any]) -> Any:
        """Logarithm of the geometric mean of the scores [B, K]."""
        product: Any = 1.0
        for evidence, mean in zip(self._evidence, means, strict=True):
            product = product * ops.squeeze(evidence(ops.expand_dims(mean, 1)), 1)  # [B, K]
        return ops.log(ops.power(product, 1.0 / len(self._evidence)) + SMALLEST)

    def compute_output_shape(self, means_shape: Sequence[Any]) -> tuple[int | None, ...]:
        return (means_shape[0][0], self.outputs)

    def get_config(self) -> dict[str, Any]:
        settings = {"classes": self.classes, "scores": self.scores, "outputs": self.outputs}
        return {**super().get_config(), **settings}
