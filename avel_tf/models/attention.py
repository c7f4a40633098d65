"""Attention weights of a model, by the name of the layer."""

from __future__ import annotations

from collections.abc import Sequence

import keras

from avel_tf.models.layers import AudioGuidedSpatialAttention
from avel_tf.utils.text import did_you_mean


def attention_names(model: keras.Model) -> tuple[str, ...]:
    """Names of the attention layers of a model, from input to output.

    Args:
        model: a model from `build` or `load_model`.

    Returns:
        Names such as "audio_to_visual_attention".

    Example:
        >>> attention_names(model)
        ('audio_to_visual_attention',)
    """
    kinds = (keras.layers.MultiHeadAttention, AudioGuidedSpatialAttention)
    return tuple(layer.name for layer in model.layers if isinstance(layer, kinds))


def attention_model(model: keras.Model, names: Sequence[str] | None = None) -> keras.Model:
    """Return a model with the same inputs and weights whose outputs are attention weights.

    A row (one query segment) sums to one over the valid segments and is 0 at the others; a clip
    without a valid segment has zeros only. Weights of `spatial_attention` sum to one over the
    places of the map in each segment, row by row of the frame.

    Args:
        model: a model from `build` or `load_model`.
        names: some of `attention_names(model)`; all by default.

    Returns:
        A model from the same dict of inputs to `{name: float32 [B, heads, T, T]}`, queries first,
        and `{"spatial_attention": float32 [B, T, places]}`.

    Raises:
        ValueError: If a name is not that of an attention layer, or the model has none.

    Example:
        >>> weights = attention_model(model)(features)["audio_to_visual_attention"]
    """
    known = attention_names(model)
    names = known if names is None else tuple(names)
    if not known:
        raise ValueError(f"The model {model.name!r} has no attention layer.")
    for name in names:
        if name not in known:
            raise ValueError(
                f"The model {model.name!r} has no attention layer {name!r}."
                f"{did_you_mean(name, known)} It has {', '.join(known)}."
            )
    weights = {name: _in_float32(name)(_weights(model.get_layer(name))) for name in names}
    return keras.Model(model.input, weights, name=f"{model.name}_attention")


def _in_float32(name: str) -> keras.layers.Layer:
    # Explicit names, here and below: default names come from a counter of the process, and a
    # loaded model may use them already.
    return keras.layers.Activation("linear", dtype="float32", name=f"{name}_in_float32")


def _weights(layer: keras.layers.Layer) -> keras.KerasTensor:
    """Attention weights of a layer, as an output of its graph."""
    if isinstance(layer, AudioGuidedSpatialAttention):
        return _PlaceWeights(layer)(*layer.input)  # [B, T, places]
    # MultiHeadAttention returns its output [B, T, D] and the weights [B, heads, T, T].
    return layer.output[1]


class _PlaceWeights(keras.layers.Layer):
    """The weights of a layer over places."""

    def __init__(self, attention: AudioGuidedSpatialAttention) -> None:
        super().__init__(name=f"{attention.name}_weights", dtype=attention.dtype_policy)
        self.attention = attention

    def call(self, maps: keras.KerasTensor, audio: keras.KerasTensor) -> keras.KerasTensor:
        return self.attention.weights_of(maps, audio)
