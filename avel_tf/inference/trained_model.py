"""Runs and exported models opened for evaluation."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from avel_tf.config import load_config
from avel_tf.engines.settings import EngineSettings
from avel_tf.inference.localizer import Localizer
from avel_tf.training.evaluate import TrainedModel


def open_model(
    path: str | Path, config: str | Path | None = None, overrides: Iterable[str] = ()
) -> TrainedModel:
    """Open a training run or an exported model for evaluation.

    Args:
        path: Folder of a run or of an exported model.
        config: A configuration file; that of the model when None.
        overrides: Settings on top of it, as `section.key=value`.
    """
    path = Path(path)
    if (path / "model.keras").is_file():
        return TrainedModel.of_run(path, config, overrides)
    # Only the localizer runs here, and every engine runs it in TensorFlow and float32.
    localizer = Localizer(path, engine=EngineSettings("tensorflow", "float32"))
    return TrainedModel(
        path,
        localizer.predict,
        localizer.recipe,
        localizer.labels,
        localizer.postprocessing,
        load_config(config or localizer.folder / "assets" / "config.yaml", overrides),
    )
