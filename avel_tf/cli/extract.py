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
    parser.add_argument(
        "--ray",
        metavar="ADDRESS",
        help="extract on a Ray cluster: local, auto, or HOST:PORT of its head (docs/scale.md)",
    )
    add_engine_argument(parser)
    add_config_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Extract the features of every video; returns 2 if some are skipped or partial."""
    config = config_of(options)
    with Progress("embedding", "videos") as progress:
        if options.ray is None:
            store = avel_tf.extract(options.data, options.out, config, progress=progress)
        else:
            from avel_tf.utils.lazy_imports import load_tensorflow

            load_tensorflow()
            from avel_tf.cluster.extract import extract_on_cluster

            store = extract_on_cluster(
                options.data, options.out, config, address=options.ray, progress=progress
            )
    counts = ", ".join(f"{store.count(split)} {split}" for split in store.manifest["splits"])
    print(
        f"{options.out}: {counts}; visual {store.recipe.visual.module}, "
        f"audio {store.recipe.audio.module}"
    )
    for each in store.skipped:
        print(f"skipped: {each['video']}: {each['reason']}")
    return 2 if store.skipped or store.manifest["remarks"] else 0
