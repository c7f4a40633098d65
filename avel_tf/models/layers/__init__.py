"""Keras layers and functional blocks for audio-visual event localization.

All of them work on sequences of T segments, with `valid` as the mask of those that exist.
`avel_tf.layers` is the public name of this package.
"""

from avel_tf.models.layers.background_gate import EventGate, suppress_background
from avel_tf.models.layers.blocks import (
    MultiLabelLogits,
    attend,
    dropout,
    normalise,
    pool_places,
    project,
    temporal_encoder,
)
from avel_tf.models.layers.class_activation import ClassActivation, class_activation_logits
from avel_tf.models.layers.class_evidence import (
    ClassEvidence,
    GeometricMeanLogits,
    ValidMovingMean,
)
from avel_tf.models.layers.clip_evidence import ClipEvidence
from avel_tf.models.layers.contrast import BackgroundContrast
from avel_tf.models.layers.name_evidence import NameEvidence
from avel_tf.models.layers.normalization import FeatureNormalization
from avel_tf.models.layers.propagation import PositiveSamplePropagation
from avel_tf.models.layers.spatial_attention import AudioGuidedSpatialAttention

__all__ = [
    "AudioGuidedSpatialAttention",
    "BackgroundContrast",
    "ClassActivation",
    "ClassEvidence",
    "ClipEvidence",
    "EventGate",
    "FeatureNormalization",
    "NameEvidence",
    "GeometricMeanLogits",
    "MultiLabelLogits",
    "PositiveSamplePropagation",
    "ValidMovingMean",
    "attend",
    "class_activation_logits",
    "dropout",
    "normalise",
    "pool_places",
    "project",
    "suppress_background",
    "temporal_encoder",
]
