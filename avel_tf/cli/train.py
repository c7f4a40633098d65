"""avel train: train a localizer on a data set or on features."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import avel_tf
from avel_tf.cli.common import Progress, SetOption, add_config_arguments, config_of
from avel_tf.cli.paths import output_folder

if TYPE_CHECKING:
    from avel_tf.config import Config
    from avel_tf.training.workers import Workers


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
    parser.add_argument(
        "--workers",
        metavar="host:port,…|local:N",
        help="train on several machines, each of which runs this command with the same list, or "
        "in N processes here (docs/guide/training.md)",
    )
    parser.add_argument(
        "--index",
        type=int,
        metavar="I",
        help="number of this machine in the list of --workers, counted from 0; 0 writes the run",
    )
    parser.add_argument(
        "--ray",
        metavar="ADDRESS",
        help="train the seeds of --seeds as tasks of a Ray cluster, as for avel infer",
    )
    add_config_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Train, choose the epoch on validation, evaluate once on test."""
    if options.workers is None and options.index is not None:
        raise ValueError("--index needs --workers, the list of all machines.")
    if options.ray is not None and options.workers is not None:
        raise ValueError("--ray trains each seed on one machine. Leave out --workers.")
    if options.workers and (count := _local_count(options)):
        return _run_locally(options, count)
    config = config_of(options)
    if options.workers is None:
        return _train(options, config)
    from avel_tf.utils.lazy_imports import load_tensorflow

    load_tensorflow()
    from avel_tf.training.local_workers import WORKER_LOST
    from avel_tf.training.workers import WorkerLost, Workers

    try:
        workers = Workers(options.workers.split(","), options.index)
        if workers.is_chief:
            return _train(options, config, workers)
        from avel_tf.training.job import assist

        assist(options.data, config, seeds=options.seeds, workers=workers)
    except WorkerLost as error:
        print(f"avel train: {error}", file=sys.stderr)
        return WORKER_LOST
    return 0


def _local_count(options: argparse.Namespace) -> int | None:
    """N of `local:N`; None for a list of machines, which must be complete."""
    kind, _, number = options.workers.partition(":")
    if kind == "local" and options.index is None:
        if not number.isdecimal() or int(number) < 2:
            raise ValueError(f"local:N needs a number of at least 2. Received: {options.workers}.")
        return int(number)
    addresses = options.workers.split(",")
    if not all(re.fullmatch(r"\S+:[0-9]{1,5}", address) for address in addresses):
        raise ValueError(
            "--workers takes host:port of every machine, separated by commas, or local:N. "
            f"Received: {options.workers}."
        )
    if options.index is None:
        raise ValueError(
            "--workers needs --index, the number of this machine in the list, counted from 0."
        )
    return None


def _run_locally(options: argparse.Namespace, count: int) -> int:
    from avel_tf.training.local_workers import run_workers

    command = ["train", str(options.data), "--out", str(options.out)]
    command += ["--seeds", str(options.seeds)]
    command += [] if options.config is None else ["--config", str(options.config)]
    command += [word for override in options.overrides for word in ("--set", override)]
    command += [f"--{name}" for name in ("resume", "verbose") if getattr(options, name)]

    def epochs_done() -> int:
        histories = options.out.glob("**/history.csv")
        return sum(len(each.read_text("utf-8").splitlines()) for each in histories)

    return run_workers(
        command,
        count,
        epochs_done=epochs_done,
        on_restart=lambda sentence: print(sentence, flush=True),
    )


def _train(options: argparse.Namespace, config: Config, workers: Workers | None = None) -> int:
    each_seed = None
    if options.ray is not None:
        from avel_tf.cluster.train import seeds_on_cluster

        if options.seeds < 2:
            raise ValueError("--ray trains several seeds at the same time. Add --seeds N.")
        each_seed = seeds_on_cluster(options.ray, config, _print_seed)
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
            workers=workers,
            each_seed=each_seed,
        )
    from avel_tf.evaluation.summary import summary

    assert trained.metrics and trained.features  # a run that was just trained has both
    print(summary(trained.metrics))
    print(f"Run: {options.out}")
    return 2 if trained.features.skipped else 0


def _print_seed(seed: int, metrics: dict[str, Any]) -> None:
    print(f"seed {seed}: segment accuracy {metrics['segment_accuracy']:.3f}", flush=True)


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
