"""Contrast between the events and the background of a clip."""

from __future__ import annotations

import random
from typing import Any

import keras
from keras import layers, ops

# Standard deviation of the noise that makes the second view, of the authors' published code.
NOISE = 0.1
# Lambda of the authors' published command for AVE.
SHARE = 0.6


@keras.saving.register_keras_serializable(package="avel_tf")
class BackgroundContrast(layers.Layer):
    """Adds to each segment a share of its encoding, which `ContrastLoss` trains.

    In training the encoder receives the segments with noise. In the paper the head receives the
    encoding without noise. Here it receives the one with noise, so that the noise generator is part
    of the model, is saved with it, and a resumed run continues with the same noise.

    Args:
        noise: standard deviation of the noise.
        share: factor of the encoding in the sum.
        seed: of the noise; drawn from Python's generator when None.
        **kwargs: as for every Keras layer.

    Call arguments:
        segments: float `[B, T, D]`.

    Returns:
        The sum, float `[B, T, D]`, and the encodings without and with noise, float32
        `[B, T, 2, D]` of length one (zero where the encoding is zero).

    Example:
        >>> segments, views = BackgroundContrast()(np.ones((2, 10, 8), "float32"))
        >>> views.shape
        TensorShape([2, 10, 2, 8])

    Reference:
        He et al., CACE-Net: Co-guidance Attention and Contrastive Enhancement for Effective
        Audio-Visual Event Localization, ACM MM 2024 (https://arxiv.org/abs/2408.01952).
    """

    def __init__(
        self, noise: float = NOISE, share: float = SHARE, seed: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.noise = noise
        self.share = share
        self.seed = random.randrange(2**31) if seed is None else seed
        self.supports_masking = True
        self.disturb = layers.GaussianNoise(
            noise, seed=self.seed, dtype=self.dtype_policy, name="contrast_noise"
        )

    def build(self, input_shape: Any) -> None:
        self.encoder = layers.Dense(
            input_shape[-1], activation="relu", dtype=self.dtype_policy, name="contrast_encoder"
        )
        self.encoder.build(input_shape)

    def call(self, segments: Any, training: bool | None = None) -> tuple[Any, Any]:
        noisy = self.encoder(self.disturb(segments, training=training))  # [B, T, D]
        views = ops.stack([self.encoder(segments), noisy], axis=2)  # [B, T, 2, D]
        unit = ops.normalize(ops.cast(views, "float32"), axis=-1)
        return segments + self.share * noisy, unit

    def compute_output_spec(self, segments: Any, **_: Any) -> Any:
        *outer, width = segments.shape
        return (
            keras.KerasTensor(segments.shape, self.compute_dtype),
            keras.KerasTensor((*outer, 2, width), "float32"),
        )

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "noise": self.noise,
            "share": self.share,
            "seed": self.seed,
        }
