"""Assets of an exported model: its labels, configuration, manifest and postprocessing."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from avel_tf.embeddings.class_columns import ClassColumns
from avel_tf.embeddings.recipe import Recipe
from avel_tf.events.labels import Labels
from avel_tf.events.postprocessing import Postprocessing
from avel_tf.export.manifest import CLASS_COLUMNS, write_json

SCHEMA = 1


def model_manifest(
    name: str,
    recipe: Recipe,
    labels: Labels,
    *,
    metrics: dict[str, Any] | None = None,
    columns: ClassColumns | None = None,
    details: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Content of `manifest.json` without the hashes of files; see `export_saved_model`."""
    manifest = {
        "schema": SCHEMA,
        "model": name,
        "labels": list(labels.names),
        "recipe": recipe.to_dict(),
        "metrics": _headline(metrics),
        **(details or {}),
    }
    if columns is not None:
        manifest[CLASS_COLUMNS] = dataclasses.asdict(columns)
    return manifest


def write_assets(
    folder: Path,
    labels: Labels,
    config_yaml: str,
    manifest: dict[str, Any],
    postprocessing: Postprocessing,
) -> list[Path]:
    """Write the files of `assets/` to a folder; returns their paths."""
    labels.save(folder / "labels.txt")
    (folder / "config.yaml").write_text(config_yaml, encoding="utf-8")
    postprocessing.save(folder)
    write_json(folder / "manifest.json", manifest)
    names = ("labels.txt", "config.yaml", "decoder.json", "manifest.json")
    return [folder / name for name in names]


def _headline(metrics: dict[str, Any] | None) -> dict[str, Any] | None:
    if metrics is None:
        return None
    keys = ("split", "videos", "segments", "segment_accuracy", "segment_accuracy_ci95", "event_f1")
    return {key: metrics[key] for key in keys if key in metrics}
