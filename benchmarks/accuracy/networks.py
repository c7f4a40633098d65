"""The default network without one of its components, for the ablation."""

from __future__ import annotations

from functools import partial
from typing import Any

from keras import layers

from avel_tf.models.heads import segment_logits
from avel_tf.models.layers import normalise
from avel_tf.models.networks import _attend as attend
from avel_tf.models.networks import _project as project
from avel_tf.models.networks import _temporal_encoder as temporal_encoder
from avel_tf.models.settings import ModelSettings


def _without(piece: str, inputs: dict[str, Any], classes: int, settings: ModelSettings) -> Any:
    """`avel` (avel_tf/models/networks.py) without `piece`; settings determine the rest."""
    valid = inputs["valid"]
    features = [normalise(inputs[name], valid, name) for name in ("visual", "audio")]
    visual, audio = (
        project(each, name, settings)
        for each, name in zip(features, ("visual", "audio"), strict=True)
    )  # [B, T, D] each
    both = [layers.Multiply(name="heard_and_seen")([visual, audio])]  # [B, T, D]
    if piece != "self_attention":
        visual = attend(visual, visual, valid, "visual_self_attention", settings)
        audio = attend(audio, audio, valid, "audio_self_attention", settings)
    if piece != "cross_attention":
        visual, audio = (
            attend(visual, audio, valid, "visual_to_audio_attention", settings),
            attend(audio, visual, valid, "audio_to_visual_attention", settings),
        )
    streams = [visual, audio] + (both if piece != "product" else [])
    segments = temporal_encoder(layers.Concatenate(name="streams")(streams), valid, settings)
    return segment_logits(segments, features, valid, classes, settings)


NETWORKS = {piece: partial(_without, piece) for piece in ("self_attention", "product")}
