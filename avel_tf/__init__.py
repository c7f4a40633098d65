"""Audio-visual event localization: the events that are both audible and visible, second by second.

Public names are imported on first use: `import avel_tf` loads neither TensorFlow nor OpenCV.
docs/guide/python.md shows how they work together.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from avel_tf import layers, losses, metrics, models
    from avel_tf.config import Config, load_config
    from avel_tf.datasets.dataset import Dataset
    from avel_tf.datasets.load import load_dataset
    from avel_tf.embeddings.settings import EmbeddingSettings
    from avel_tf.engines.settings import EngineSettings
    from avel_tf.events.event import Event
    from avel_tf.events.labels import Labels
    from avel_tf.events.result import Result, Segment
    from avel_tf.export.exported_model import ExportedModel
    from avel_tf.export.run_export import export_run
    from avel_tf.features.feature_store import FeatureStore
    from avel_tf.features.settings import DataSettings
    from avel_tf.inference.evaluate import evaluate, evaluate_corrupted
    from avel_tf.inference.localizer import Localizer, load
    from avel_tf.inference.settings import InferenceSettings, ScreenSettings
    from avel_tf.models.settings import ModelSettings
    from avel_tf.training.evaluate import Evaluation
    from avel_tf.training.features import extract
    from avel_tf.training.job import train
    from avel_tf.training.run import Run
    from avel_tf.training.settings import TrainingSettings
    from avel_tf.video.decode_settings import DecodeSettings

__version__ = "0.1.0"

# Names whose modules import TensorFlow; it is loaded first, without its lines on the terminal.
_WITH_TENSORFLOW = {
    "Evaluation": "avel_tf.training.evaluate",
    "FeatureStore": "avel_tf.features.feature_store",
    "Run": "avel_tf.training.run",
    "evaluate": "avel_tf.inference.evaluate",
    "evaluate_corrupted": "avel_tf.inference.evaluate",
    "export_run": "avel_tf.export.run_export",
    "extract": "avel_tf.training.features",
    "layers": "avel_tf.layers",
    "losses": "avel_tf.losses",
    "metrics": "avel_tf.metrics",
    "train": "avel_tf.training.job",
}
_HOMES = {
    **_WITH_TENSORFLOW,
    "Config": "avel_tf.config",
    "DataSettings": "avel_tf.features.settings",
    "Dataset": "avel_tf.datasets.dataset",
    "DecodeSettings": "avel_tf.video.decode_settings",
    "EmbeddingSettings": "avel_tf.embeddings.settings",
    "EngineSettings": "avel_tf.engines.settings",
    "Event": "avel_tf.events.event",
    "ExportedModel": "avel_tf.export.exported_model",
    "InferenceSettings": "avel_tf.inference.settings",
    "Labels": "avel_tf.events.labels",
    "Localizer": "avel_tf.inference.localizer",
    "ModelSettings": "avel_tf.models.settings",
    "Result": "avel_tf.events.result",
    "ScreenSettings": "avel_tf.inference.settings",
    "Segment": "avel_tf.events.result",
    "TrainingSettings": "avel_tf.training.settings",
    "load": "avel_tf.inference.localizer",
    "load_config": "avel_tf.config",
    "load_dataset": "avel_tf.datasets.load",
    "models": "avel_tf.models",
}
__all__ = [
    "Config",
    "DataSettings",
    "Dataset",
    "DecodeSettings",
    "EmbeddingSettings",
    "EngineSettings",
    "Evaluation",
    "Event",
    "ExportedModel",
    "FeatureStore",
    "InferenceSettings",
    "Labels",
    "Localizer",
    "ModelSettings",
    "Result",
    "Run",
    "ScreenSettings",
    "Segment",
    "TrainingSettings",
    "__version__",
    "evaluate",
    "evaluate_corrupted",
    "export_run",
    "extract",
    "layers",
    "load",
    "load_config",
    "load_dataset",
    "losses",
    "metrics",
    "models",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        from avel_tf.utils.text import did_you_mean

        raise AttributeError(
            f"module 'avel_tf' has no attribute {name!r}.{did_you_mean(name, __all__)} It offers "
            f"{', '.join(__all__)}."
        )
    if name in _WITH_TENSORFLOW:
        from avel_tf.utils.lazy_imports import load_tensorflow

        load_tensorflow()
    module = importlib.import_module(_HOMES[name])
    return module if module.__name__ == f"avel_tf.{name}" else getattr(module, name)


def __dir__() -> list[str]:
    return sorted(__all__)
