"""Background-event contrast: features in which a clip's event stands off from its background."""

from __future__ import annotations

import random
from typing import Any

import keras
from keras import layers, ops

# Standard deviation of the noise that makes the second view, of the authors' published code.
NOISE = 0.1
# Lambda of the authors' published command for AVE.
SHARE = 0.6
NOISE_LAYER, ENCODER = "contrast_noise", "contrast_encoder"


def contrast_seconds(seconds: Any) -> Any:
    """Adds to each second what a small encoder, trained by `ContrastLoss`, makes of it.

    In training the encoder sees the second through noise. (In the paper the head is given the view
    without noise; with this one the noise generator is part of the model, is saved with it, and a
    resumed run goes on with the same noise.)

    Args:
        seconds: float `[B, T, D]`.

    Returns:
        Float `[B, T, D]`.

    Reference:
        He et al., CACE-Net: Co-guidance Attention and Contrastive Enhancement for Effective
        Audio-Visual Event Localization, ACM MM 2024 (https://arxiv.org/abs/2408.01952).
    """
    disturbed = layers.GaussianNoise(NOISE, seed=random.randrange(2**31), name=NOISE_LAYER)(seconds)
    encoder = layers.Dense(seconds.shape[-1], activation="relu", name=ENCODER)
    return seconds + SHARE * encoder(disturbed)  # [B, T, D]


def contrast_views(model: keras.Model) -> Any:
    """Each second as the encoder sees it, clear and disturbed.

    Args:
        model: a model with background-event contrast.

    Returns:
        float32 `[B, T, 2, D]` of length one (zero where the encoder gave nothing).
    """
    encoder = model.get_layer(ENCODER)
    views = [encoder(model.get_layer(NOISE_LAYER).input), encoder.output]  # [B, T, D] each
    return ops.normalize(ops.cast(ops.stack(views, axis=2), "float32"), axis=-1)
