"""Background suppression by event: each modality says by itself what the clip holds."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops

# gamma of the authors' published configuration for full supervision.
WEIGHT = 0.3
VISUAL, AUDIO = "visual_class_activation", "audio_class_activation"
# Finite in float32, and its exponential exactly 0.
_NEVER = -1e9


def class_evidence(seen: Any, heard: Any, valid: Any, classes: int) -> Any:
    """What both modalities hold for the clip's event, to be added to the head's logits.

    Args:
        seen: float `[B, T, D]`.
        heard: float `[B, T, D]`.
        valid: bool `[B, T]`.
        classes: C, without background.

    Returns:
        float32 `[B, C]`.

    Reference:
        Xia and Zhao, Cross-Modal Background Suppression for Audio-Visual Event Localization, CVPR
        2022, event-level suppression.
    """
    by_sight = layers.Dense(classes, dtype="float32", name=VISUAL)(seen)  # [B, T, C]
    by_sound = layers.Dense(classes, dtype="float32", name=AUDIO)(heard)  # [B, T, C]
    return WEIGHT * _clip_logits(by_sight, by_sound, valid)


def activation_logits(model: keras.Model) -> Any:
    """The logits of the clip's event that the modalities alone arrive at.

    Args:
        model: a model with class activation.

    Returns:
        float32 `[B, C]`.
    """
    by_sight, by_sound = model.get_layer(VISUAL).output, model.get_layer(AUDIO).output
    return _clip_logits(by_sight, by_sound, model.input["valid"])  # [B, C]


def _clip_logits(by_sight: Any, by_sound: Any, valid: Any) -> Any:
    return (_pool(by_sight, valid) + _pool(by_sound, valid)) / 2  # [B, C]


def _pool(activation: Any, valid: Any) -> Any:
    """Log-mean-exp over the valid seconds, between their mean and their maximum.

    The authors' code averages the four highest of ten seconds; this has no count that would have to
    follow T, and no sorting.
    """
    present = ops.expand_dims(valid, -1)  # [B, T, 1]
    number = ops.sum(ops.cast(present, "float32"), axis=1)  # [B, 1]
    total = ops.logsumexp(ops.where(present, activation, _NEVER), axis=1)  # [B, C]
    return ops.where(number > 0, total - ops.log(ops.maximum(number, 1.0)), 0.0)  # [B, C]
