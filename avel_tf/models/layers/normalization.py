"""Normalisation of features by statistics that are weights of the model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import keras
import numpy as np
from keras import ops

# A feature behind a ReLU that was almost always 0 in training can exceed ten deviations later.
# Without the limit one such value outweighs the 2,000 others.
LIMIT = 10.0
# A variance below this share of the mean variance is float32 rounding of a constant feature.
CONSTANT_SHARE = 1e-6


@keras.saving.register_keras_serializable(package="avel_tf")
class FeatureNormalization(keras.layers.Layer):
    """Centres and scales each feature, ignores constant ones, and limits outliers.

    Unlike in `keras.layers.Normalization`, statistics are stored in weights only, so that
    `set_weights` and checkpoints restore them, and a feature that was constant in training becomes
    0 instead of being magnified by 10^7. It computes in float32 under every policy, because raw
    features may exceed half precision.

    Args:
        limit: largest magnitude of the output, in standard deviations.
        **kwargs: as for every Keras layer.

    Returns:
        A layer that maps float `[..., D]` to float32 `[..., D]`. Until `fit` it passes values
        within the limit through.

    Example:
        >>> layer = FeatureNormalization()
        >>> layer.build((None, 2))
        >>> layer.fit(np.array([[1.0, 5.0], [3.0, 5.0]], "float32"))
        >>> layer(np.array([[3.0, 9.0]], "float32"))  # the second feature was constant
        <tf.Tensor: shape=(1, 2), dtype=float32, numpy=array([[1., 0.]], dtype=float32)>
    """

    def __init__(self, limit: float = LIMIT, **kwargs: Any) -> None:
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.limit = limit
        self.supports_masking = True

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        width = input_shape[-1]
        self.mean = self.add_weight(
            name="mean", shape=(width,), initializer="zeros", trainable=False
        )  # [D]
        self.variance = self.add_weight(
            name="variance", shape=(width,), initializer="ones", trainable=False
        )  # [D]

    def fit(self, features: np.ndarray | Iterable[np.ndarray]) -> None:
        """Fit mean and variance to the rows of arrays.

        Args:
            features: float `[N, D]`, the valid segments of the training split; or an iterable of
                such arrays, of which only one needs to be in memory at a time.

        Raises:
            ValueError: If an array has another shape, no row, or values that are not finite.

        Reference:
            Chan, Golub, LeVeque 1979, Updating Formulae and a Pairwise Algorithm for Computing
            Sample Variances.
        """
        width = self.mean.shape[0]
        rows, mean, squares = 0, np.zeros(width), np.zeros(width)
        for part in [features] if isinstance(features, np.ndarray) else features:
            if part.ndim != 2 or not len(part) or part.shape[1] != width:
                raise ValueError(
                    f"{self.name} needs arrays [N, {width}] of at least one "
                    f"row. Received: shape={part.shape}."
                )
            # float64: a sum over 33,390 segments (AVE) loses three digits in float32.
            step = part.mean(axis=0, dtype=np.float64) - mean  # [D]
            total = rows + len(part)
            squares += part.var(axis=0, dtype=np.float64) * len(part)  # [D]
            squares += step**2 * (rows * len(part) / total)
            mean += step * (len(part) / total)
            rows = total
        if not rows:
            raise ValueError(
                f"{self.name} takes its statistics from arrays [N, {width}] of at least one row. "
                "Received: no array."
            )
        variance = squares / rows  # [D]
        if not np.isfinite(variance).all():
            raise ValueError(
                f"{self.name} received features that are not finite (NaN or infinity). "
                "Leave out invalid segments."
            )
        self.mean.assign(mean)
        self.variance.assign(np.where(variance > CONSTANT_SHARE * variance.mean(), variance, 0.0))

    def call(self, features: Any) -> Any:
        scaled = ops.divide_no_nan(features - self.mean, ops.sqrt(self.variance))
        return ops.clip(scaled, -self.limit, self.limit)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "limit": self.limit}


def fit_normalization(
    model: keras.Model,
    visual: np.ndarray | Iterable[np.ndarray],
    audio: np.ndarray | Iterable[np.ndarray],
) -> None:
    """Fit the normalisation layers of a model to the training features.

    Args:
        model: a model from `build`; unimodal models ignore the other array.
        visual: float `[N, Dv]`, the valid segments of the training split; or an iterable of such
            arrays. Each place of a map is a row for the statistics of the channels.
        audio: float `[N, Da]`, likewise.

    Raises:
        ValueError: If the model has no such layer, or an array does not fit it.

    Example:
        >>> fit_normalization(model, visual[valid], audio[valid])
    """
    arrays = {"visual_normalization": visual, "audio_normalization": audio}
    layers = [layer for layer in model.layers if isinstance(layer, FeatureNormalization)]
    if not layers:
        raise ValueError(
            f"The model {model.name!r} has no FeatureNormalization layer. Use a model from "
            "avel_tf.models.build."
        )
    for layer in layers:
        modality = layer.name.removesuffix("_normalization")
        layer.fit(_rows(arrays[layer.name], model.input[modality].shape[-1], layer.mean.shape[0]))


def _rows(
    features: np.ndarray | Iterable[np.ndarray], given: int, width: int
) -> Iterator[np.ndarray]:
    """Arrays [N, D] from arrays [N, Dv], with a row for each place of a map."""
    for part in [features] if isinstance(features, np.ndarray) else features:
        # The layer itself refuses other shapes.
        yield part.reshape(-1, width) if part.shape[1:] == (given,) else part
