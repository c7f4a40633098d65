"""The audio-visual event localizer."""

from __future__ import annotations

from typing import Any

from keras import layers

from avel_tf.models.blocks import attend, project, segment_logits
from avel_tf.models.settings import ModelSettings


def avel(inputs: dict[str, Any], classes: int, settings: ModelSettings) -> Any:
    """Both modalities look at themselves, then at each other, and meet in every second.

        visual [B,T,Dv]                        audio [B,T,Da]
             |                                      |
        normalise, project                     normalise, project     [B,T,D]
             |------------------> v * a <-----------|
             |                      |               |
        self-attention over T       |     self-attention over T       [B,T,D]
             |                      |               |
        visual asks audio <---------|-------> audio asks visual       [B,T,D]
             |                      |               |
             '-------------> concatenate <----------'                 [B,T,3D]
                                    |
                          bidirectional LSTM                          [B,T,2 * lstm_units]
                                    |
                             dropout, Dense                           [B,T,C+1]

    Args:
        inputs: `visual` float `[B, T, Dv]`, `audio` float `[B, T, Da]`, `valid` bool `[B, T]`.
        classes: C, without background.
        settings: sizes and dropout.

    Returns:
        Logits float32 `[B, T, C+1]`, background last.

    Reference:
        Tian et al., Audio-Visual Event Localization in Unconstrained Videos, 2018
        (https://arxiv.org/abs/1803.08842), for the task and the LSTM over seconds; Xuan et al.,
        Cross-Modal Attention Network for Temporal Inconsistent Audio-Visual Event Localization,
        2020 (https://ojs.aaai.org/index.php/AAAI/article/view/5361), for attention both ways.
    """
    valid = inputs["valid"]
    visual = project(inputs["visual"], valid, "visual", settings)  # [B, T, D]
    audio = project(inputs["audio"], valid, "audio", settings)  # [B, T, D]
    # "Both heard and seen" is a conjunction within one second, and a product is the shortest way
    # to write one. It is taken before attention mixes the seconds (docs/models.md has the numbers).
    both = layers.Multiply(name="heard_and_seen")([visual, audio])  # [B, T, D]
    visual = attend(visual, visual, valid, "visual_self_attention", settings)
    audio = attend(audio, audio, valid, "audio_self_attention", settings)
    seen = attend(visual, audio, valid, "visual_to_audio_attention", settings)
    heard = attend(audio, visual, valid, "audio_to_visual_attention", settings)
    streams = layers.Concatenate(name="streams")([seen, heard, both])  # [B, T, 3D]
    return segment_logits(streams, valid, classes, settings)
