"""Blocks of a few named Keras layers, for models built with the functional API."""

from __future__ import annotations

import random
from typing import Any

import keras
from keras import layers, ops

from avel_tf.models.layers.normalization import FeatureNormalization
from avel_tf.models.layers.spatial_attention import AudioGuidedSpatialAttention

# Far below every log-probability in float32, and finite: the softmax of a clip without a valid
# segment would otherwise be NaN.
_NEVER = -1e9


@keras.saving.register_keras_serializable(package="avel_tf")
class MultiLabelLogits(layers.Dense):
    """Dense layer for logits of independent classes, for which the activation is a sigmoid.

    Losses, metrics and the export recognise a multi-label model by the type of this layer.
    """


def dropout(rate: float, name: str) -> keras.layers.Layer:
    """Dropout with an explicit seed, so that a loaded model draws the same masks."""
    # avel_tf.models.build seeds this generator.
    return layers.Dropout(rate, seed=random.randrange(2**31), name=name)


def normalise(features: Any, valid: Any, modality: str) -> Any:
    """Normalise the features of one modality and set invalid segments to zero before it.

    Args:
        features: float `[B, T, Dv]`, `[B, T, Da]` or maps `[B, T, places, channels]`; any value,
            even NaN, at invalid segments.
        valid: bool `[B, T]`.
        modality: "visual" or "audio", the prefix of the layer's name.

    Returns:
        float32 of the same shape. All places of a map share the statistics of their channel.
    """
    present = ops.expand_dims(valid, tuple(range(2, features.ndim)))  # [B, T, 1] or [B, T, 1, 1]
    x = ops.where(present, features, 0.0)
    return FeatureNormalization(name=f"{modality}_normalization")(x)


def pool_places(visual: Any, audio: Any, *, attention: bool, width: int) -> Any:
    """Pool the places of visual maps to one vector per segment; vectors pass unchanged.

    Args:
        visual: float32 `[B, T, Dv]` or maps `[B, T, places, Dv]`.
        audio: float32 `[B, T, Da]`; used by spatial attention only.
        attention: pool by `AudioGuidedSpatialAttention` instead of the mean.
        width: of the projections in spatial attention.

    Returns:
        float32 `[B, T, Dv]`.
    """
    if visual.ndim == 3:
        return visual  # [B, T, Dv]
    if not attention:
        return ops.mean(visual, axis=2)  # [B, T, Dv]
    return AudioGuidedSpatialAttention(width, name="spatial_attention")(visual, audio)  # [B, T, Dv]


def project(
    features: Any,
    modality: str,
    width: int,
    *,
    input_dropout: float = 0.0,
    dropout_rate: float = 0.0,
) -> Any:
    """Project the features of one modality to the common width: dropout, ReLU, layer norm, dropout.

    Args:
        features: float32 `[B, T, Dv]` or `[B, T, Da]`.
        modality: "visual" or "audio", the prefix of the layers' names.
        width: D.
        input_dropout: share of the features that is dropped.
        dropout_rate: share of the output that is dropped.

    Returns:
        Float `[B, T, D]`.
    """
    x = dropout(input_dropout, f"{modality}_input_dropout")(features)
    x = layers.Dense(width, activation="relu", name=f"{modality}_projection")(x)
    x = layers.LayerNormalization(name=f"{modality}_projection_norm")(x)  # [B, T, D]
    return dropout(dropout_rate, f"{modality}_projection_dropout")(x)


def attend(
    query: Any, source: Any, valid: Any, name: str, *, heads: int, dropout_rate: float = 0.0
) -> Any:
    """Multi-head attention over the valid segments of `source`, with residual and layer norm.

    Args:
        query: float `[B, T, D]`.
        source: float `[B, T, D]`, keys and values; the query itself for self-attention.
        valid: bool `[B, T]`, the segments of `source` that are attended to.
        name: name of the attention layer, which `attention_model` takes.
        heads: number of heads, each of width D / heads.
        dropout_rate: share of the result that is dropped before the residual.

    Returns:
        Float `[B, T, D]`.

    Reference:
        Vaswani et al., Attention Is All You Need, 2017 (https://arxiv.org/abs/1706.03762).

    Example:
        >>> stream = keras.Input((None, 64))
        >>> valid = keras.Input((None,), dtype="bool")
        >>> attend(stream, stream, valid, "self_attention", heads=4).shape
        (None, None, 64)
    """
    attention = layers.MultiHeadAttention(
        num_heads=heads, key_dim=query.shape[-1] // heads, name=name
    )
    mask = ops.expand_dims(valid, 1)  # [B, 1, T], the same keys for every query
    found, _ = attention(
        query, source, attention_mask=mask, return_attention_scores=True
    )  # [B, T, D], [B, heads, T, T]
    found = dropout(dropout_rate, f"{name}_dropout")(found)
    total = layers.Add(name=f"{name}_residual")([query, found])
    return layers.LayerNormalization(name=f"{name}_norm")(total)


def temporal_encoder(streams: Any, valid: Any, units: int, *, dropout_rate: float = 0.0) -> Any:
    """Bidirectional LSTM over the valid segments, concatenated with its input.

    The input is part of the output, so that the LSTM need not learn to pass it through.

    Args:
        streams: float `[B, T, any width]`.
        valid: bool `[B, T]`; the LSTM skips invalid segments in both directions.
        units: of the LSTM in each direction; 0 returns the input.
        dropout_rate: share of the LSTM's output that is dropped.

    Returns:
        Float `[B, T, any width + 2 * units]`.
    """
    if not units:
        return streams  # [B, T, any width]
    # RNN(LSTMCell), not LSTM: on a GPU the latter uses a cuDNN kernel that refuses masks with
    # holes or without a valid segment, and an exported model would then need a GPU.
    cell = layers.LSTMCell(units, name="lstm_cell")
    x = layers.Bidirectional(layers.RNN(cell, return_sequences=True, name="lstm"), name="bilstm")(
        streams, mask=valid
    )  # [B, T, 2 * units]
    x = dropout(dropout_rate, "bilstm_dropout")(x)
    return layers.Concatenate(name="streams_and_bilstm")([streams, x])


def relevance_weights(relevance: Any, valid: Any) -> Any:
    """Weights of the segments in the mean of a clip: sigmoid(relevance) over its sum.

    Args:
        relevance: float32 `[B, T, 1]`, logits.
        valid: bool `[B, T]`.

    Returns:
        float32 `[B, T, 1]`: sums to one over the valid segments and is exactly 0 at the others.
    """
    present = ops.expand_dims(valid, -1)  # [B, T, 1]
    # A softmax of logarithms avoids division by zero for improbable events.
    logs = ops.where(present, ops.log_sigmoid(relevance), _NEVER)
    return ops.where(present, ops.softmax(logs, axis=1), 0.0)  # [B, T, 1]
