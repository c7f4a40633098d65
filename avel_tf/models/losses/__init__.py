"""Keras losses of logits, targets per segment, and `valid` as sample weight.

`avel_tf.losses` is the public name of this package.
"""

from avel_tf.models.losses.clip_cross_entropy import ClipCrossEntropy
from avel_tf.models.losses.contrast_loss import ContrastLoss
from avel_tf.models.losses.event_cross_entropy import EventCrossEntropy
from avel_tf.models.losses.multiple_instance_binary_cross_entropy import (
    MultipleInstanceBinaryCrossEntropy,
)
from avel_tf.models.losses.multiple_instance_cross_entropy import MultipleInstanceCrossEntropy
from avel_tf.models.losses.segment_binary_cross_entropy import SegmentBinaryCrossEntropy
from avel_tf.models.losses.segment_cross_entropy import SegmentCrossEntropy
from avel_tf.models.losses.similarity_loss import SimilarityLoss

__all__ = [
    "ClipCrossEntropy",
    "ContrastLoss",
    "EventCrossEntropy",
    "MultipleInstanceBinaryCrossEntropy",
    "MultipleInstanceCrossEntropy",
    "SegmentBinaryCrossEntropy",
    "SegmentCrossEntropy",
    "SimilarityLoss",
]
