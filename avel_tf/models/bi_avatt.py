"""The baseline in which audio attends to visual."""

from __future__ import annotations

from typing import Any

from avel_tf.models.blocks import attend, project, segment_logits
from avel_tf.models.settings import ModelSettings


def bi_avatt(inputs: dict[str, Any], classes: int, settings: ModelSettings) -> Any:
    """Audio attends to video, then a bidirectional LSTM reads the result.

    Args:
        inputs: `visual` float `[B, T, Dv]`, `audio` float `[B, T, Da]`, `valid` bool `[B, T]`.
        classes: C, without background.
        settings: sizes and dropout.

    Returns:
        Logits float32 `[B, T, C+1]`, background last.
    """
    valid = inputs["valid"]
    visual = project(inputs["visual"], valid, "visual", settings)  # [B, T, D]
    audio = project(inputs["audio"], valid, "audio", settings)  # [B, T, D]
    streams = attend(audio, visual, valid, "audio_to_visual_attention", settings)  # [B, T, D]
    return segment_logits(streams, valid, classes, settings)
