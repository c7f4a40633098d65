"""avel train: train a localizer on a data set or on features."""

from __future__ import annotations

import argparse
from pathlib import Path

import avel_tf
from avel_tf.cli.common import Progress, SetOption, add_config_arguments, config_of
from avel_tf.cli.paths import output_folder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument(
        "data", type=Path, metavar="DATA|FEATURES", help="a data set, or features from avel extract"
    )
    parser.add_argument(
        "--out", type=output_folder, required=True, metavar="RUN", help="folder of the run"
    )
    parser.add_argument(
        "--model",
        action=SetOption,
        setting="model.name",
        help="avel (default), bi_avatt, bi_vaatt, audio_only or visual_only",
    )
    parser.add_argument(
        "--supervision",
        action=SetOption,
        setting="training.supervision",
        help="full (default), or weak: training uses the events of a video without their times",
    )
    parser.add_argument("--seeds", type=int, default=1, metavar="N", help="train N times")
    parser.add_argument(
        "--resume",
        action="store_true",
        help="continue an interrupted run from its last epoch",
    )
    add_config_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Train, choose the epoch on validation, evaluate once on test."""
    config = config_of(options)
    with Progress("embedding", "videos") as progress:
        trained = avel_tf.train(
            options.data,
            options.out,
            config,
            seeds=options.seeds,
            resume=options.resume,
            on_epoch=lambda row: _print_epoch(row, config.training.epochs),
            on_seed=lambda seed: print(f"seed {seed}:"),
            on_relabel=lambda changes: print(
                f"The annotations have changed: {changes}. The features are kept, and training "
                "starts anew."
            ),
            progress=progress,
        )
    from avel_tf.evaluation.summary import summary

    assert trained.metrics and trained.features  # a run that was just trained has both
    print(summary(trained.metrics))
    print(f"Run: {options.out}")
    return 2 if trained.features.skipped else 0


def _print_epoch(row: dict[str, float], epochs: int) -> None:
    from avel_tf.evaluation.history import accuracy_of

    accuracy = accuracy_of(row)
    name = {
        "clip_accuracy": "accuracy of clips",
        "segment_f1": "F1 of segments",
        "clip_f1": "F1 of clips",
    }.get(accuracy, "accuracy")
    validation = (
        f", validation loss {row['val_loss']:.3f}, {name} {row[f'val_{accuracy}']:.3f}"
        if "val_loss" in row
        else ""
    )
    print(
        f"epoch {row['epoch']:3.0f} of {epochs}: loss {row['loss']:.3f}, "
        f"{name} {row[accuracy]:.3f}{validation}",
        flush=True,
    )
