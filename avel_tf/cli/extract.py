"""avel extract: extract features from the videos of a data set."""

from __future__ import annotations

import argparse
from pathlib import Path

import avel_tf
from avel_tf.cli.common import Progress, add_config_arguments, add_engine_argument, config_of
from avel_tf.cli.paths import output_folder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument(
        "data", type=Path, metavar="DATA", help="a data set (docs/reference/datasets.md)"
    )
    parser.add_argument(
        "--out",
        type=output_folder,
        required=True,
        metavar="FEATURES",
        help="folder of the feature store",
    )
    add_engine_argument(parser)
    add_config_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Extract the features of every video; returns 2 if some are skipped or partial."""
    with Progress("embedding", "videos") as progress:
        store = avel_tf.extract(options.data, options.out, config_of(options), progress=progress)
    counts = ", ".join(f"{store.count(split)} {split}" for split in store.manifest["splits"])
    print(
        f"{options.out}: {counts}; visual {store.recipe.visual.module}, "
        f"audio {store.recipe.audio.module}"
    )
    for each in store.skipped:
        print(f"skipped: {each['video']}: {each['reason']}")
    return 2 if store.skipped or store.manifest["remarks"] else 0
