"""Keras layers and functional blocks for models of segments."""

from avel_tf.models.layers import (
    AudioGuidedSpatialAttention,
    BackgroundContrast,
    ClassActivation,
    EventGate,
    FeatureNormalization,
    MultiLabelLogits,
    PositiveSamplePropagation,
    attend,
    class_activation_logits,
    dropout,
    normalise,
    pool_places,
    project,
    suppress_background,
    temporal_encoder,
)

__all__ = [
    "AudioGuidedSpatialAttention",
    "BackgroundContrast",
    "ClassActivation",
    "EventGate",
    "FeatureNormalization",
    "MultiLabelLogits",
    "PositiveSamplePropagation",
    "attend",
    "class_activation_logits",
    "dropout",
    "normalise",
    "pool_places",
    "project",
    "suppress_background",
    "temporal_encoder",
]
