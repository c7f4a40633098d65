"""From settings to a Keras model."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import keras
from keras import layers

from avel_tf.models.audio_only import audio_only
from avel_tf.models.avel import avel
from avel_tf.models.bi_avatt import bi_avatt
from avel_tf.models.bi_vaatt import bi_vaatt
from avel_tf.models.settings import MODELS, NO_MAPS, ModelSettings
from avel_tf.models.visual_only import visual_only

_NETWORKS = {
    network.__name__: network for network in (avel, bi_avatt, bi_vaatt, audio_only, visual_only)
}
__all__ = ["MODELS", "build_model"]


@contextmanager
def seeded_layers(seed: int) -> Iterator[None]:
    """Gives every layer made inside its seed, and the caller's random state back afterwards.

    Keras draws the seed of an initializer that has none from Python's `random`. One seed per layer,
    passed explicitly, would not do: MultiHeadAttention copies its initializer, and an explicit seed
    makes its query and key kernels start equal.
    """
    state = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(state)


def build_model(
    settings: ModelSettings,
    *,
    visual_width: int,
    audio_width: int,
    classes: int,
    visual_places: int = 1,
    seed: int = 0,
) -> keras.Model:
    """Builds the model that the settings name.

    Compile it with `jit_compile=False` on a CPU: Keras' "auto" would compile it by XLA, under which
    the LSTM is about 200 times slower.

    Args:
        settings: which network, how large, of which pieces.
        visual_width: Dv, features per second of video.
        audio_width: Da, features per second of sound.
        classes: C, the event classes without background.
        visual_places: how many places share the visual features, which are maps then, place by
            place (`recipe.visual.places`).
        seed: the same seed gives the same weights and the same dropout, whatever the state of the
            global random generators, which stay as they are.

    Returns:
        A functional model: `{"visual": float32 [B, T, Dv], "audio": float32 [B, T, Da],
        "valid": bool [B, T]}` to logits float32 `[B, T, C+1]`, background last, any T.

    Raises:
        ValueError: a width or a number is below 1, the places do not share the width evenly, or
            spatial attention is asked for where there is no map.

    Example:
        >>> model = build_model(
        ...     ModelSettings("avel"), visual_width=2048, audio_width=128, classes=28
        ... )
        >>> model.compile("adamw", SegmentCrossEntropy(), jit_compile=False)
    """
    sizes = {
        "visual_width": visual_width,
        "audio_width": audio_width,
        "classes": classes,
        "visual_places": visual_places,
    }
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"{name} must be at least 1. Received: {name}={size}.")
    if visual_width % visual_places:
        raise ValueError(
            "Each place of a map has as many features, so visual_width must be a multiple of "
            f"visual_places. Received: visual_width={visual_width}, visual_places={visual_places}."
        )
    if settings.spatial_attention and visual_places == 1:
        raise ValueError(NO_MAPS)
    with seeded_layers(seed):
        inputs = {
            "visual": keras.Input((None, visual_width), name="visual"),  # [B, T, Dv]
            "audio": keras.Input((None, audio_width), name="audio"),  # [B, T, Da]
            "valid": keras.Input((None,), dtype="bool", name="valid"),  # [B, T]
        }
        seen = dict(inputs)
        if visual_places > 1:
            places = layers.Reshape((-1, visual_places, visual_width // visual_places), name="maps")
            seen["visual"] = places(inputs["visual"])  # [B, T, places, channels]
        logits = _NETWORKS[settings.name](seen, classes, settings)  # [B, T, C+1]
        return keras.Model(inputs, logits, name=settings.name)
