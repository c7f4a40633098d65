"""Spatial attention maps of a model on a video."""

from __future__ import annotations

import math
from pathlib import Path

import keras
import numpy as np

from avel_tf.embeddings.extractor import FeatureExtractor
from avel_tf.models import attention_model
from avel_tf.video.decode import DecodeSettings, clip_of


def spatial_attention_maps(
    model: keras.Model,
    extractor: FeatureExtractor,
    video: str | Path,
    *,
    seconds: int,
    media: DecodeSettings | None = None,
) -> np.ndarray:
    """Spatial attention weights of each segment.

    Args:
        model: A model with spatial attention, as of `Run.model`.
        extractor: The backbones that made the maps which it was trained on.
        video: A video file; its first seconds are decoded.
        seconds: How many of them.
        media: Limits of the decoder, and whether it runs in a worker process.

    Returns:
        float32 [T, rows, columns], summing to one in each second.

    Raises:
        MediaError: When the video cannot be read.
        ValueError: When the model looks at no places.

    Example:
        >>> model = Run("runs/maps").model()
        >>> maps = spatial_attention_maps(model, extractor, "dog.mp4", seconds=10)
        >>> write_timeline_picture(localizer.localize("dog.mp4"), Path("dog.png"), attention=maps)
    """
    recipe = extractor.recipe.visual
    clip = clip_of(recipe.decode_request(video, media, seconds))
    visual, audio = extractor(clip.frames[None], clip.waveform[None])  # [1, T, Dv], [1, T, Da]
    inputs = {"visual": visual.numpy(), "audio": audio.numpy(), "valid": clip.valid[None]}
    shares = attention_model(model, ["spatial_attention"])(inputs)["spatial_attention"]
    # Modules see squares, so their maps are squares.
    side = math.isqrt(recipe.places)
    return np.asarray(shares).reshape(-1, side, side)  # [T, rows, columns]
