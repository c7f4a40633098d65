"""Keras losses for training models of segments."""

from avel_tf.models.losses import (
    ClipCrossEntropy,
    ContrastLoss,
    EventCrossEntropy,
    MultipleInstanceBinaryCrossEntropy,
    MultipleInstanceCrossEntropy,
    SegmentBinaryCrossEntropy,
    SegmentCrossEntropy,
    SimilarityLoss,
)

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
