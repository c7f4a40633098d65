"""Writer of self-contained SavedModels: backbones, head and assets."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import keras

from avel_tf.embeddings.class_columns import ClassColumns
from avel_tf.embeddings.extractor import FeatureExtractor
from avel_tf.events.labels import Labels
from avel_tf.events.postprocessing import Postprocessing
from avel_tf.export.assets import model_manifest, write_assets
from avel_tf.export.manifest import (
    PART_SIGNATURES,
    SIGNATURE_NAMES,
    SIGNATURES,
    next_version,
    with_hashes,
    write_json,
)
from avel_tf.export.module import LocalizerModule
from avel_tf.export.warmup import write_warmup_request


def export_saved_model(
    head: keras.Model,
    extractor: FeatureExtractor,
    folder: str | Path,
    *,
    labels: Labels,
    config_yaml: str,
    metrics: dict[str, Any] | None = None,
    postprocessing: Postprocessing | None = None,
    columns: ClassColumns | None = None,
    details: dict[str, Any] | None = None,
) -> Path:
    """Write `folder/<version>/`, a SavedModel that plain TensorFlow loads.

    The version is one more than the highest in the folder. It is written to a temporary folder and
    renamed when it is complete.

    Args:
        head: Keras model of features to logits.
        extractor: The backbones that made the training features of `head`.
        folder: Folder of the versions, such as `saved_models/NAME`.
        labels: The classes.
        config_yaml: The configuration of the run.
        metrics: Content of the run's `metrics.json`; the main figures are copied to the manifest.
        postprocessing: Temperature, which becomes part of the graph, thresholds and rules for
            events; the defaults when None.
        columns: Columns of the features with the scores of each class, of a zero-shot model.
        details: Further entries of the manifest.

    Returns:
        The folder of the new version.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    version = next_version(folder)
    postprocessing = postprocessing or Postprocessing()
    manifest = model_manifest(
        head.name,
        extractor.recipe,
        labels,
        metrics=metrics,
        columns=columns,
        details={**(details or {}), SIGNATURE_NAMES: [*SIGNATURES, *PART_SIGNATURES]},
    )
    partial = Path(tempfile.mkdtemp(prefix=f".{version}.", suffix=".partial", dir=folder))
    try:
        with tempfile.TemporaryDirectory() as assets_folder:
            assets = write_assets(
                Path(assets_folder), labels, config_yaml, manifest, postprocessing
            )
            module = LocalizerModule(
                extractor, head, postprocessing.temperature, postprocessing.thresholds
            )
            module.save(partial, assets)
        write_warmup_request(partial, name=folder.name, recipe=extractor.recipe)
        # Hashed when graph and weights are written; they do not contain the manifest.
        write_json(partial / "assets" / "manifest.json", with_hashes(manifest, partial))
        partial.chmod(0o755)  # mkdtemp creates folders that no other user may read
        target = folder / str(version)
        os.rename(partial, target)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return target
