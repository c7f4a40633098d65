"""Background suppression in time: what one modality takes for background, the other mutes."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops

# alpha of the authors' published configuration for full supervision.
STRENGTH = 0.1
AUDIO_GATE, VISUAL_GATE = "audio_gate", "visual_gate"


def suppress_background(seen: Any, heard: Any, visual: Any, audio: Any) -> tuple[Any, Any]:
    """Strengthens each modality's seconds by as much as the other takes them for an event.

    Args:
        seen: float `[B, T, D]`, visual after it met audio.
        heard: float `[B, T, D]`, audio after it met visual.
        visual: float `[B, T, D]`, visual by itself.
        audio: float `[B, T, D]`, audio by itself.

    Returns:
        `seen` and `heard`, scaled by between 1 and 1 + STRENGTH.

    Reference:
        Xia and Zhao, Cross-Modal Background Suppression for Audio-Visual Event Localization, CVPR
        2022, time-level suppression.
    """
    # float32, because the gates have a loss of their own.
    by_sound = layers.Dense(1, dtype="float32", name=AUDIO_GATE)(audio)  # [B, T, 1]
    by_sight = layers.Dense(1, dtype="float32", name=VISUAL_GATE)(visual)  # [B, T, 1]
    return _strengthen(seen, by_sound), _strengthen(heard, by_sight)


def gate_logits(model: keras.Model) -> Any:
    """The gates' joint verdict: the logit of both taking a second for an event.

    Args:
        model: a model with background gates.

    Returns:
        float32 `[B, T, 1]`.
    """
    sound = -model.get_layer(AUDIO_GATE).output  # [B, T, 1]
    sight = -model.get_layer(VISUAL_GATE).output  # [B, T, 1]
    # p / (1 - p) for p = sigmoid(a) sigmoid(v) is 1 / (exp(-a) + exp(-v) + exp(-a - v)).
    ways_to_fail = ops.concatenate([sound, sight, sound + sight], axis=-1)  # [B, T, 3]
    return -ops.logsumexp(ways_to_fail, axis=-1, keepdims=True)  # [B, T, 1]


def _strengthen(stream: Any, gate: Any) -> Any:
    return stream * ops.cast(1.0 + STRENGTH * ops.sigmoid(gate), stream.dtype)  # [B, T, D]
