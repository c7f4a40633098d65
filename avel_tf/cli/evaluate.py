"""avel evaluate: evaluate a model on a split."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from avel_tf.cli.common import Progress, add_config_arguments
from avel_tf.cli.paths import input_folder, output_folder
from avel_tf.utils.lazy_imports import load_tensorflow

if TYPE_CHECKING:
    from avel_tf.training.evaluate import TrainedModel


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument(
        "model", type=input_folder, metavar="RUN|SAVED_MODEL", help="a run or an exported model"
    )
    parser.add_argument("data", type=Path, metavar="DATA|FEATURES")
    parser.add_argument("--split", default="test", help="train, validation or test (default)")
    parser.add_argument(
        "--against",
        type=input_folder,
        metavar="RUN|SAVED_MODEL",
        help="compare with another model on the same videos by a paired bootstrap",
    )
    parser.add_argument(
        "--out",
        type=output_folder,
        metavar="DIR",
        help="write metrics.json and predictions.jsonl there",
    )
    parser.add_argument(
        "--corrupt",
        metavar="all|NAME,...",
        help="corrupt audio and video, and report accuracy by severity "
        "(docs/design/robustness.md); needs the videos themselves",
    )
    parser.add_argument(
        "--beside",
        type=input_folder,
        nargs="+",
        default=[],
        metavar="RUN|SAVED_MODEL",
        help="with --corrupt: further models to evaluate on the same corrupted videos",
    )
    parser.add_argument(
        "--clips",
        type=int,
        metavar="N",
        help="with --corrupt: evaluate on N videos of the split, drawn with training.seed",
    )
    add_config_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Print the metrics, and write them to `--out`."""
    load_tensorflow()
    from avel_tf.evaluation.summary import summary
    from avel_tf.training.evaluate import evaluate_model

    model = _open(options.model, options)
    if options.corrupt:
        return _run_corrupted(model, options)
    against = _open(options.against, options) if options.against else None
    with Progress("embedding", "videos") as progress:
        found = evaluate_model(
            model, options.data, options.split, against=against, progress=progress
        )
    if found.note:
        print(found.note)
    print(summary(found.metrics))
    if options.out:
        found.write(options.out)
        print(f"Metrics: {options.out / 'metrics.json'}")
    return 2 if found.metrics["skipped"] else 0


def _open(path: Path, options: argparse.Namespace) -> TrainedModel:
    from avel_tf.inference.trained_model import open_model

    return open_model(path, options.config, options.overrides)


def _run_corrupted(model: TrainedModel, options: argparse.Namespace) -> int:
    """Print accuracy by corruption, severity and model, and write it to `--out`."""
    from avel_tf.reports.robustness_report import draw_robustness, robustness_table
    from avel_tf.reports.style import standing_alone
    from avel_tf.training.evaluate import evaluate_robustness
    from avel_tf.utils.durable_files import atomic_text

    models = [model, *(_open(path, options) for path in options.beside)]
    with Progress("corrupting", "videos") as progress:
        found = evaluate_robustness(
            models,
            options.data,
            options.corrupt,
            options.split,
            clips=options.clips,
            progress=progress,
        )
    print(robustness_table(found))
    if options.out:
        with atomic_text(options.out / "robustness.json") as file:
            file.write(json.dumps(found, indent=2) + "\n")
        with atomic_text(options.out / "robustness.svg") as file:
            file.write(standing_alone(draw_robustness(found)))
        print(f"Robustness: {options.out / 'robustness.json'}, robustness.svg")
    return 2 if found["skipped"] else 0
