"""The baseline in which audio attends to visual."""

from __future__ import annotations

from typing import Any

from avel_tf.models.blocks import attend, look, normalise, project, read_seconds
from avel_tf.models.heads import segment_logits
from avel_tf.models.settings import ModelSettings


def bi_avatt(inputs: dict[str, Any], classes: int, settings: ModelSettings) -> Any:
    """Audio attends to video, then a bidirectional LSTM reads the result.

    Args:
        inputs: `visual` float `[B, T, Dv]` or `[B, T, places, Dv]`, `audio` float `[B, T, Da]`,
            `valid` bool `[B, T]`.
        classes: C, without background.
        settings: sizes, dropout and head.

    Returns:
        Logits float32 `[B, T, C+1]`, background last.
    """
    valid = inputs["valid"]
    pictures = normalise(inputs["visual"], valid, "visual")  # [B, T, Dv] or [B, T, places, Dv]
    sounds = normalise(inputs["audio"], valid, "audio")  # [B, T, Da]
    pictures = look(pictures, sounds, settings)  # [B, T, Dv]
    visual = project(pictures, "visual", settings)  # [B, T, D]
    audio = project(sounds, "audio", settings)  # [B, T, D]
    streams = attend(audio, visual, valid, "audio_to_visual_attention", settings)  # [B, T, D]
    seconds = read_seconds(streams, valid, settings)  # [B, T, D + 2 * lstm_units]
    return segment_logits(seconds, [pictures, sounds], valid, classes, settings)
