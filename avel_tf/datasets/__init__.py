"""Annotated data sets: layouts, splits, and labels per segment."""

from __future__ import annotations

from avel_tf.datasets.dataset import SPLITS, Annotation, Dataset, DatasetError, Video
from avel_tf.datasets.load import load_dataset
from avel_tf.datasets.segment_labels import active_classes, segment_labels
from avel_tf.datasets.settings import DatasetSettings
from avel_tf.datasets.splits import assign_splits, remove_leaks

__all__ = [
    "SPLITS",
    "Annotation",
    "Dataset",
    "DatasetError",
    "DatasetSettings",
    "Video",
    "active_classes",
    "assign_splits",
    "load_dataset",
    "remove_leaks",
    "segment_labels",
]
