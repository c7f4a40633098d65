"""avel import: turn annotations of another tool into annotations.csv."""

from __future__ import annotations

import argparse
from pathlib import Path

from avel_tf.cli.paths import output_file


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument(
        "file", type=Path, metavar="FILE", help="a file of the tool, or a folder of such files"
    )
    parser.add_argument(
        "--from",
        dest="format",
        required=True,
        metavar="FORMAT",
        help="one of activitynet, audacity, dcase, eaf, labelstudio, raven, textgrid and vtt",
    )
    parser.add_argument(
        "--out", type=output_file, required=True, metavar="annotations.csv", help="the new table"
    )


def run(options: argparse.Namespace) -> int:
    """Write the table and print the number of its videos and events."""
    from avel_tf.datasets.importers import import_annotations

    videos = import_annotations(options.file, options.format, options.out)
    events = sum(map(len, videos.values()))
    print(f"{options.out}: {len(videos)} videos, {events} events")
    return 0
