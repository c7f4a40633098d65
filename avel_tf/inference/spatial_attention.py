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
        extractor: The backbones of its training features.
        video: A video file.
        seconds: T, the number of seconds to decode from its beginning.
        media: Limits of the decoder, and isolation in a worker process.

    Returns:
        float32 [T, rows, columns], with a sum of one in each segment.

    Raises:
        MediaError: The video cannot be decoded.
        ValueError: The model has no spatial attention.

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
    # Images are square, so maps are square.
    side = math.isqrt(recipe.places)
    return np.asarray(shares).reshape(-1, side, side)  # [T, rows, columns]
