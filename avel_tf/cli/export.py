"""avel export: a trained model to one SavedModel."""

from __future__ import annotations

import argparse
from pathlib import Path

from avel_tf.cli.paths import input_folder, output_folder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument(
        "run_folder", type=input_folder, metavar="RUN", help="what avel train wrote"
    )
    parser.add_argument("--out", type=output_folder, required=True, metavar="saved_models/NAME")


def run(options: argparse.Namespace) -> int:
    """Join backbones and head."""
    print(f"The SavedModel lies in {export(options.run_folder, options.out)}")
    return 0


def export(run_folder: Path, out: Path) -> Path:
    """Write the next version of `out`; returns its folder."""
    from avel_tf.config import load_config
    from avel_tf.utils.lazy_imports import load_tensorflow

    load_tensorflow()
    from avel_tf.embeddings.extractor import load_extractor
    from avel_tf.export.saved_model import export_saved_model
    from avel_tf.training.run import Run

    trained = Run(run_folder)
    config = load_config(run_folder / "config.yaml")
    extractor = load_extractor(config.embeddings)
    trained.recipe.require_same(
        extractor.recipe, ours=f"The run {run_folder}", theirs="what its config.yaml loads now"
    )
    return export_saved_model(
        trained.model(),
        extractor,
        out,
        labels=trained.labels,
        config_yaml=trained.config_yaml,
        metrics=trained.metrics,
        postprocessing=trained.postprocessing,
    )
