"""The parts that the models are put together from, each a few named Keras layers."""

from __future__ import annotations

import random
from typing import Any

import keras
from keras import layers, ops

from avel_tf.models.normalization import FeatureNormalization
from avel_tf.models.settings import ModelSettings
from avel_tf.models.spatial_attention import AudioGuidedSpatialAttention


def dropout(rate: float, name: str) -> keras.layers.Layer:
    """A dropout layer whose seed is written down, so that a loaded model draws the same masks."""
    # build_model seeds this generator; see seeded_layers there.
    return layers.Dropout(rate, seed=random.randrange(2**31), name=name)


def normalise(features: Any, valid: Any, modality: str) -> Any:
    """Brings the features of one modality to one scale.

    Args:
        features: float `[B, T, Dv]`, `[B, T, Da]` or maps `[B, T, places, channels]`; anything,
            even NaN, at invalid seconds.
        valid: bool `[B, T]`.
        modality: "visual" or "audio", the beginning of the layer's name.

    Returns:
        float32 of the same shape. All places of a map share the statistics of their channel.
    """
    present = ops.expand_dims(valid, tuple(range(2, features.ndim)))  # [B, T, 1] or [B, T, 1, 1]
    x = ops.where(present, features, 0.0)
    return FeatureNormalization(name=f"{modality}_normalization")(x)


def look(pictures: Any, sounds: Any, settings: ModelSettings) -> Any:
    """Makes one vector of each second's map; vectors stay as they are.

    Args:
        pictures: float32 `[B, T, Dv]` or maps `[B, T, places, Dv]`, of `normalise`.
        sounds: float32 `[B, T, Da]`, of `normalise`; nobody listens where places are averaged.
        settings: spatial_attention and width.

    Returns:
        float32 `[B, T, Dv]`.
    """
    if pictures.ndim == 3:
        return pictures  # [B, T, Dv]
    if not settings.spatial_attention:
        return ops.mean(pictures, axis=2)  # [B, T, Dv]
    layer = AudioGuidedSpatialAttention(settings.width, name="spatial_attention")
    return layer(pictures, sounds)  # [B, T, Dv]


def project(normalised: Any, modality: str, settings: ModelSettings) -> Any:
    """Brings the features of one modality to the common width.

    Args:
        normalised: float32 `[B, T, Dv]` or `[B, T, Da]`, of `normalise`.
        modality: "visual" or "audio", the beginning of the layers' names.
        settings: width and dropout.

    Returns:
        Float `[B, T, D]`.
    """
    x = dropout(settings.input_dropout, f"{modality}_input_dropout")(normalised)
    x = layers.Dense(settings.width, activation="relu", name=f"{modality}_projection")(x)
    x = layers.LayerNormalization(name=f"{modality}_projection_norm")(x)  # [B, T, D]
    return dropout(settings.dropout, f"{modality}_projection_dropout")(x)


def attend(query: Any, source: Any, valid: Any, name: str, settings: ModelSettings) -> Any:
    """Multi-head attention over the valid seconds of `source`, added to the query.

    Args:
        query: float `[B, T, D]`.
        source: float `[B, T, D]`, keys and values; the query itself for self-attention.
        valid: bool `[B, T]`, the seconds of `source` that may be looked at.
        name: the layer's name, by which `attention_model` finds its weights.
        settings: heads and dropout.

    Returns:
        Float `[B, T, D]`.

    Reference:
        Vaswani et al., Attention Is All You Need, 2017 (https://arxiv.org/abs/1706.03762).
    """
    attention = layers.MultiHeadAttention(
        num_heads=settings.heads, key_dim=settings.width // settings.heads, name=name
    )
    mask = ops.expand_dims(valid, 1)  # [B, 1, T], the same keys for every query
    found, _ = attention(
        query, source, attention_mask=mask, return_attention_scores=True
    )  # [B, T, D], [B, heads, T, T]
    found = dropout(settings.dropout, f"{name}_dropout")(found)
    total = layers.Add(name=f"{name}_residual")([query, found])
    return layers.LayerNormalization(name=f"{name}_norm")(total)


def read_seconds(streams: Any, valid: Any, settings: ModelSettings) -> Any:
    """Reads the seconds of a clip in both directions, if there is an LSTM.

    What it read stands beside what each second was before, so that a few clips need not teach an
    LSTM to let through what they already say.

    Args:
        streams: float `[B, T, any width]`.
        valid: bool `[B, T]`; the LSTM steps over the other seconds in both directions.
        settings: lstm_units and dropout.

    Returns:
        Float `[B, T, any width + 2 * lstm_units]`.
    """
    if not settings.lstm_units:
        return streams  # [B, T, any width]
    # RNN(LSTMCell), not LSTM: on a GPU the latter takes a cuDNN kernel that refuses masks with
    # holes or without a valid second, and that would tie an exported model to GPUs.
    cell = layers.LSTMCell(settings.lstm_units, name="lstm_cell")
    x = layers.Bidirectional(layers.RNN(cell, return_sequences=True, name="lstm"), name="bilstm")(
        streams, mask=valid
    )  # [B, T, 2 * lstm_units]
    x = dropout(settings.dropout, "bilstm_dropout")(x)
    return layers.Concatenate(name="streams_and_bilstm")([streams, x])
