"""Export of a training run, by itself or as an extension of an exported model."""

from __future__ import annotations

from pathlib import Path

from avel_tf.embeddings.extractor import load_extractor
from avel_tf.export.exported_model import ExportedModel
from avel_tf.export.extension import export_extended
from avel_tf.export.saved_model import export_saved_model
from avel_tf.training.run import Run


def export_run(
    run: Run | str | Path, folder: str | Path, *, extends: ExportedModel | str | Path | None = None
) -> Path:
    """Export the model of a training run as one SavedModel.

    Args:
        run: The run, or its folder.
        folder: Folder of the model's versions, such as `saved_models/dog`.
        extends: An exported model with the same backbones, such as the folder from
            `avel_tf.pretrained.find_pretrained()`. The new model labels the classes of the run
            and, in segments without one, the other classes of that model.

    Returns:
        Folder of the new version, such as `saved_models/dog/1`; `avel_tf.load` opens it.

    Raises:
        ValueError: The folder is not a finished run, its configuration loads other backbones than
            those its features were made with, or the run cannot extend the model.
        ModuleUnavailableError: A backbone cannot be loaded.

    Example:
        >>> avel_tf.export_run("RUN", "saved_models/dog")
        PosixPath('saved_models/dog/1')
    """
    run = run if isinstance(run, Run) else Run(run)
    extractor = load_extractor(run.config.embeddings)
    # The exported graph computes in floating point.
    run.recipe.in_float().require_same(
        extractor.recipe, ours=f"The run {run.folder}", theirs="what its config.yaml loads now"
    )
    if extends is not None:
        return export_extended(run, extends, extractor, folder)
    return export_saved_model(
        run.model(),
        extractor,
        folder,
        labels=run.labels,
        config_yaml=run.config_yaml,
        metrics=run.metrics,
        postprocessing=run.postprocessing,
    )
