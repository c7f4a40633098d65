"""Keras metrics for training models of segments."""

from avel_tf.training.metrics import ClipAccuracy, ClipF1, SegmentAccuracy, SegmentF1

__all__ = ["ClipAccuracy", "ClipF1", "SegmentAccuracy", "SegmentF1"]
