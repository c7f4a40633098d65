"""Keras losses of logits, targets per segment, and `valid` as sample weight.

`avel_tf.losses` is the public name of this package.
"""

from avel_tf.models.losses.clip_losses import (
    ClipCrossEntropy,
    MultipleInstanceBinaryCrossEntropy,
    MultipleInstanceCrossEntropy,
)
from avel_tf.models.losses.contrast_loss import ContrastLoss
from avel_tf.models.losses.segment_losses import (
    EventCrossEntropy,
    SegmentBinaryCrossEntropy,
    SegmentCrossEntropy,
)
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
