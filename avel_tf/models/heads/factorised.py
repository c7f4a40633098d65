"""Head that predicts one event class per clip and its presence per segment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keras import layers, ops

from avel_tf.models.layers.blocks import dropout, relevance_weights
from avel_tf.models.settings import ModelSettings


def factorised_head(
    segments: Any,
    features: Sequence[Any],
    valid: Any,
    classes: int,
    settings: ModelSettings,
    class_activation_logits: Any = None,
) -> Any:
    """Event relevance per segment times event class per clip, as log-probabilities.

        segments [B,T,U]            normalised features [B,T,D] each
           |         |                         |
        relevance    |  weights                |
         r [B,T,1] --+------> pooled over valid segments
           |                 |                 |
           |            Dense [B,C]    dropout, Dense [B,C]  (linear path)
           |                 '------- + -------'
           |                          |
         event: log sigmoid(r) + log softmax(class)      background: log sigmoid(-r)

    The softmax of these logits is the product, so losses, calibration and export need no special
    case. A clip has events of one class at most.

    The linear path is a logistic regression on the mean features of the clip, which overfits little
    with few clips per class. Its weights start at zero. Its input is divided by the root of its
    width, because Adam moves every weight equally and a sum over thousands of features would
    dominate the rest of the network.

    Args:
        segments: float `[B, T, any width]`.
        features: normalised features, float32 `[B, T, Dv or Da]` each.
        valid: bool `[B, T]`.
        classes: C, without background.
        settings: linear_path; input_dropout for the mean features.
        class_activation_logits: float32 `[B, C]`, added to the logits of the clip's class.

    Returns:
        Log-probabilities float32 `[B, T, C+1]`, background last; their exponentials sum to one.

    Reference:
        Wu et al., Dual Attention Matching for Audio-Visual Event Localization, ICCV 2019,
        Xu et al., Cross-Modal Relation-Aware Networks for Audio-Visual Event Localization, ACM MM
        2020 (https://arxiv.org/abs/2008.00836), and CMBS (Xia and Zhao, CVPR 2022), who multiply
        hard decisions; pooling by relevance: Ilse et al., Attention-based Deep Multiple Instance
        Learning, ICML 2018 (https://arxiv.org/abs/1802.04712).
    """
    relevance = layers.Dense(1, dtype="float32", name="event_relevance")(segments)  # [B, T, 1]
    weights = relevance_weights(relevance, valid)  # [B, T, 1]
    pooled = ops.sum(weights * ops.cast(segments, "float32"), axis=1)  # [B, U]
    logits = layers.Dense(classes, dtype="float32", name="clip_class")(pooled)  # [B, C]
    if settings.linear_path:
        # [B, Dv + Da], or one of them
        means = ops.concatenate([ops.sum(weights * each, axis=1) for each in features], axis=-1)
        means = dropout(settings.input_dropout, "mean_features_dropout")(means)
        linear = layers.Dense(
            classes, kernel_initializer="zeros", dtype="float32", name="linear_path"
        )
        logits = logits + linear(means / means.shape[-1] ** 0.5)  # [B, C]
    if class_activation_logits is not None:
        logits = logits + class_activation_logits
    return product_logits(relevance, logits)


def product_logits(relevance: Any, logits: Any) -> Any:
    """Logarithm of P(event or background) x P(class).

    Args:
        relevance: float32 `[B, T, 1]`, event logits of the segments.
        logits: float32 `[B, C]`, class logits of the clip.

    Returns:
        float32 `[B, T, C+1]`, background last.
    """
    events = ops.expand_dims(ops.log_softmax(logits, axis=-1), 1)  # [B, 1, C]
    events = ops.log_sigmoid(relevance) + events  # [B, T, C]
    background = ops.log_sigmoid(-relevance)  # [B, T, 1]
    return layers.Concatenate(dtype="float32", name="logits")([events, background])
