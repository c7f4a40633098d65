"""avel evaluate: evaluate a model on a split."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import avel_tf
from avel_tf.cli.common import Progress, add_config_arguments
from avel_tf.cli.paths import input_folder, model_folder, output_folder

if TYPE_CHECKING:
    from avel_tf.config import Configuration


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument(
        "model",
        type=model_folder,
        metavar="RUN|SAVED_MODEL",
        help="a run, an exported model, or pretrained",
    )
    parser.add_argument(
        "data", type=Path, metavar="DATA|FEATURES", help="a data set, or features from avel extract"
    )
    parser.add_argument(
        "--split", metavar="SPLIT", default="test", help="train, validation or test (default)"
    )
    parser.add_argument(
        "--against",
        type=model_folder,
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
    from avel_tf.config import load_config

    config = load_config(options.config, options.overrides) if options.config else options.overrides
    if options.corrupt:
        return _run_corrupted(options, config)
    with Progress("embedding", "videos") as progress:
        evaluation = avel_tf.evaluate(
            options.model,
            options.data,
            split=options.split,
            against=options.against,
            config=config,
            progress=progress,
        )
    from avel_tf.evaluation.summary import summary

    if evaluation.note:
        print(evaluation.note)
    print(summary(evaluation.metrics))
    if options.out:
        evaluation.write(options.out)
        print(f"Metrics: {options.out / 'metrics.json'}")
    return 2 if evaluation.metrics["skipped"] else 0


def _run_corrupted(options: argparse.Namespace, config: Configuration) -> int:
    """Print accuracy by corruption, severity and model, and write it to `--out`."""
    from avel_tf.reports.robustness_report import robustness_table, write_robustness

    with Progress("corrupting", "videos") as progress:
        found = avel_tf.evaluate_corrupted(
            [options.model, *options.beside],
            options.data,
            options.corrupt,
            split=options.split,
            clips=options.clips,
            config=config,
            progress=progress,
        )
    print(robustness_table(found))
    if options.out:
        write_robustness(found, options.out)
        print(f"Robustness: {options.out / 'robustness.json'}, robustness.svg")
    return 2 if found["skipped"] else 0
