"""The baseline that knows the visual features only."""

from __future__ import annotations

from typing import Any

from avel_tf.models.blocks import attend, look, normalise, project, read_seconds
from avel_tf.models.heads import segment_logits
from avel_tf.models.settings import ModelSettings


def visual_only(inputs: dict[str, Any], classes: int, settings: ModelSettings) -> Any:
    """Decides by the picture alone: what sound must add to be worth its cost.

    Args:
        inputs: `visual` float `[B, T, Dv]` or `[B, T, places, Dv]` and `valid` bool `[B, T]`; the
            rest is left alone.
        classes: C, without background.
        settings: sizes, dropout and head.

    Returns:
        Logits float32 `[B, T, C+1]`, background last.
    """
    valid = inputs["valid"]
    features = normalise(inputs["visual"], valid, "visual")  # [B, T, Dv] or [B, T, places, Dv]
    features = look(features, None, settings)  # [B, T, Dv]
    stream = project(features, "visual", settings)  # [B, T, D]
    stream = attend(stream, stream, valid, "visual_self_attention", settings)  # [B, T, D]
    seconds = read_seconds(stream, valid, settings)  # [B, T, D + 2 * lstm_units]
    return segment_logits(seconds, [features], valid, classes, settings)
