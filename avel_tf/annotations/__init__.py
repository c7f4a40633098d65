"""Annotated data sets: layouts, splits, and one label per second."""

from __future__ import annotations

from avel_tf.annotations.annotation import Annotation
from avel_tf.annotations.dataset import Dataset
from avel_tf.annotations.errors import DatasetError
from avel_tf.annotations.load import load_dataset
from avel_tf.annotations.seconds import active_classes, second_labels
from avel_tf.annotations.settings import DatasetSettings
from avel_tf.annotations.splits import assign_splits, remove_leaks
from avel_tf.annotations.video import SPLITS, Video

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
    "second_labels",
]
