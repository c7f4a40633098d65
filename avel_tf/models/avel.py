"""The audio-visual event localizer."""

from __future__ import annotations

from typing import Any

from keras import layers

from avel_tf.models.background_gate import suppress_background
from avel_tf.models.blocks import attend, look, normalise, project, read_seconds
from avel_tf.models.class_activation import class_evidence
from avel_tf.models.contrast import contrast_seconds
from avel_tf.models.heads import segment_logits
from avel_tf.models.propagation import PROPAGATION, PositiveSamplePropagation
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
                                    |-------------------.
                          bidirectional LSTM            |             [B,T,2 * lstm_units]
                                    |                   |
                                 dropout -------> concatenate         [B,T,3D + 2 * lstm_units]
                                                        |
                                                       head           [B,T,C+1]

    Where the modalities meet, the settings put propagation or nothing in attention's place; gates,
    class activation and contrast come in on request (docs/design/models.md draws them).

    Args:
        inputs: `visual` float `[B, T, Dv]` or `[B, T, places, Dv]`, `audio` float `[B, T, Da]`,
            `valid` bool `[B, T]`.
        classes: C, without background.
        settings: sizes, dropout, pieces and head.

    Returns:
        Logits float32 `[B, T, C+1]`, background last.

    Reference:
        Tian et al., Audio-Visual Event Localization in Unconstrained Videos, 2018
        (https://arxiv.org/abs/1803.08842), for the task and the LSTM over seconds; Xuan et al.,
        Cross-Modal Attention Network for Temporal Inconsistent Audio-Visual Event Localization,
        2020 (https://ojs.aaai.org/index.php/AAAI/article/view/5361), for attention both ways.
    """
    valid = inputs["valid"]
    pictures = normalise(inputs["visual"], valid, "visual")  # [B, T, Dv] or [B, T, places, Dv]
    sounds = normalise(inputs["audio"], valid, "audio")  # [B, T, Da]
    pictures = look(pictures, sounds, settings)  # [B, T, Dv]
    visual = project(pictures, "visual", settings)  # [B, T, D]
    audio = project(sounds, "audio", settings)  # [B, T, D]
    # "Both heard and seen" is a conjunction within one second, and a product is the shortest way
    # to write one. It is taken before attention mixes the seconds (docs/design/models.md).
    both = layers.Multiply(name="heard_and_seen")([visual, audio])  # [B, T, D]
    visual = attend(visual, visual, valid, "visual_self_attention", settings)
    audio = attend(audio, audio, valid, "audio_self_attention", settings)
    seen, heard = _meet(visual, audio, valid, settings)
    if settings.background_gate:
        seen, heard = suppress_background(seen, heard, visual, audio)
    evidence = class_evidence(seen, heard, valid, classes) if settings.class_activation else None
    streams = layers.Concatenate(name="streams")([seen, heard, both])  # [B, T, 3D]
    seconds = read_seconds(streams, valid, settings)  # [B, T, 3D + 2 * lstm_units]
    if settings.contrast:
        seconds = contrast_seconds(seconds)
    return segment_logits(seconds, [pictures, sounds], valid, classes, settings, evidence)


def _meet(visual: Any, audio: Any, valid: Any, settings: ModelSettings) -> tuple[Any, Any]:
    """Lets the modalities look at each other over the seconds; both float `[B, T, D]`."""
    if settings.cross_modal == "none":
        return visual, audio
    if settings.cross_modal == "propagation":
        seen, heard = PositiveSamplePropagation(settings.width, name=PROPAGATION)(
            visual, audio, valid
        )
        return seen, heard
    return (
        attend(visual, audio, valid, "visual_to_audio_attention", settings),
        attend(audio, visual, valid, "audio_to_visual_attention", settings),
    )
