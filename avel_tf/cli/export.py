"""avel export: export a training run as one SavedModel."""

from __future__ import annotations

import argparse

import avel_tf
from avel_tf.cli.paths import input_folder, output_folder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument(
        "run_folder", type=input_folder, metavar="RUN", help="a run that avel train wrote"
    )
    parser.add_argument(
        "--out",
        type=output_folder,
        required=True,
        metavar="MODEL",
        help="folder of the model; each export adds a version, as in saved_models/NAME/1",
    )


def run(options: argparse.Namespace) -> int:
    """Join backbones and head in the next version of `--out`."""
    print(f"SavedModel: {avel_tf.export_run(options.run_folder, options.out)}")
    return 0
