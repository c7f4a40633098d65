"""Evaluation of training runs and exported models."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from avel_tf.config import Configuration, resolve_config
from avel_tf.datasets import Dataset
from avel_tf.engines.settings import EngineSettings
from avel_tf.events.labels import Labels
from avel_tf.export.exported_model import ExportedModel
from avel_tf.export.manifest import ModelError
from avel_tf.inference.localizer import PRETRAINED
from avel_tf.inference.pipeline import InferencePipeline, select_classes
from avel_tf.pretrained import find_pretrained
from avel_tf.training.evaluate import (
    Evaluation,
    TrainedModel,
    evaluate_model,
    evaluate_robustness,
)
from avel_tf.training.features import Data
from avel_tf.training.run import Run

# A training run or an exported model, or the folder of either.
Model = str | Path | Run | ExportedModel


def evaluate(
    model: Model,
    data: Data,
    *,
    split: str = "test",
    against: Model | None = None,
    config: Configuration = None,
    progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Evaluate a model on a split of a data set.

    Args:
        model: A training run or an exported model, or the folder of either; or `"pretrained"`. A
            zero-shot model is restricted to the classes of the data.
        data: A data set, a feature store, or the path of either. Features of a data set are
            extracted to a temporary folder.
        split: `train`, `validation` or `test`.
        against: Another model with the same classes, compared on the same videos by a paired
            bootstrap; the metrics then have a key `against`.
        config: Settings instead of those of the model, or single ones on top of them.
        progress: Called after each extracted video with the number done and the total.

    Returns:
        The metrics, in `.metrics`, and the outcome of each video.

    Raises:
        ModelError: The folder holds neither a run nor an exported model.
        ValueError: The features are of another recipe, the classes differ, or the split is empty.

    Example:
        >>> avel_tf.evaluate("saved_models/dog", "DATA").metrics["segment_accuracy"]
        0.92
    """
    return evaluate_model(
        open_model(model, config),
        data,
        split,
        against=None if against is None else open_model(against, config),
        progress=progress,
    )


def evaluate_corrupted(
    models: Iterable[Model],
    data: str | Path | Dataset,
    corruptions: str = "all",
    *,
    split: str = "test",
    clips: int | None = None,
    config: Configuration = None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Evaluate models on videos with corrupted frames or audio.

    Args:
        models: Single-label models with the same recipe and classes. The settings are those of the
            first.
        data: A data set, or its path; features cannot be corrupted.
        corruptions: `all`, or names separated by commas (docs/design/robustness.md).
        split: `train`, `validation` or `test`.
        clips: Number of videos, drawn with `training.seed`; all of the split when None.
        config: As of `evaluate`.
        progress: Called after each video with the number done and the total.

    Returns:
        Content of `robustness.json`: accuracy by corruption, severity and model.

    Raises:
        ValueError: The data are features, the split is empty, or the models do not match.
    """
    return evaluate_robustness(
        [open_model(model, config) for model in models],
        data,
        corruptions,
        split,
        clips=clips,
        progress=progress,
    )


def open_model(model: Model, config: Configuration = None) -> TrainedModel:
    """Open a training run or an exported model for evaluation; arguments as of `evaluate`."""
    if model == PRETRAINED and not Path(PRETRAINED).is_dir():
        model = ExportedModel(find_pretrained())
    if isinstance(model, str | Path) and (Path(model) / "model.keras").is_file():
        model = Run(model)
    if isinstance(model, Run):
        return TrainedModel.of_run(model, config)
    if not isinstance(model, ExportedModel):
        try:
            model = ExportedModel(model)
        except ModelError as error:
            raise ModelError(f"{model} is neither a training run nor an exported model.") from error
    # Only the localizer runs here, and every engine runs it in TensorFlow and float32.
    pipeline = InferencePipeline(model, engine=EngineSettings("tensorflow", "float32"))
    exported = pipeline.model
    whole = TrainedModel(
        exported.folder,
        pipeline.label_features,
        exported.recipe,
        exported.labels,
        exported.postprocessing,
        resolve_config(config, exported.folder / "assets" / "config.yaml"),
    )
    if exported.columns is None:
        return whole

    def select(labels: Labels) -> TrainedModel:
        selection = select_classes(exported, labels.names)
        assert selection is not None

        def predict(*features: np.ndarray) -> np.ndarray:
            return selection(whole.predict(*features))

        return replace(whole, labels=labels, predict=predict)

    return replace(whole, select=select)
