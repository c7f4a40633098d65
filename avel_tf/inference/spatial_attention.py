"""Spatial attention maps of a model on a video."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np

from avel_tf.embeddings.extractor import FeatureExtractor
from avel_tf.models import attention_model
from avel_tf.video.decode import DecodeSettings, decode


def spatial_attention_maps(
    model: keras.Model,
    extractor: FeatureExtractor,
    video: str | Path,
    *,
    seconds: int | None = None,
    window_seconds: int = 10,
    media: DecodeSettings | None = None,
) -> np.ndarray:
    """Spatial attention weights of each segment.

    The video is decoded and evaluated in windows, so memory does not depend on its length.

    Args:
        model: A model with spatial attention, as of `Run.model`.
        extractor: The backbones of its training features.
        video: A video file.
        seconds: T, the number of seconds to decode from its beginning; all when None.
        window_seconds: Length of the windows, best that of the training windows.
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
    request = replace(recipe.decode_request(video, media, seconds), block_seconds=window_seconds)
    # Images are square, so maps are square.
    side = math.isqrt(recipe.places)
    weights, maps = None, []
    for clip in decode(request):
        visual, audio = extractor(clip.frames[None], clip.waveform[None])  # [1, T, Dv], [1, T, Da]
        inputs = {"visual": visual.numpy(), "audio": audio.numpy(), "valid": clip.valid[None]}
        weights = weights or attention_model(model, ["spatial_attention"])
        maps.append(np.asarray(weights(inputs)["spatial_attention"]).reshape(-1, side, side))
    return np.concatenate(maps)  # [T, rows, columns]
