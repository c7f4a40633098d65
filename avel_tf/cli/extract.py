"""avel extract: mp4 files to features."""

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
    parser.add_argument("--out", type=output_folder, required=True, metavar="FEATURES")
    add_engine_argument(parser)
    add_config_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Embed every video of a data set."""
    with Progress("embedding", "videos") as progress:
        store = avel_tf.extract(options.data, options.out, config_of(options), progress=progress)
    counts = ", ".join(f"{store.count(split)} {split}" for split in store.manifest["splits"])
    print(
        f"{options.out}: {counts}; visual {store.recipe.visual.module}, "
        f"audio {store.recipe.audio.module}"
    )
    for each in store.skipped:
        print(f"left out: {each['video']}: {each['reason']}")
    return 2 if store.skipped or store.manifest["remarks"] else 0
