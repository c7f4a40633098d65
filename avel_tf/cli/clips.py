"""avel clips: cut the events of results into short clips, as a data set."""

from __future__ import annotations

import argparse
from pathlib import Path

from avel_tf.cli.common import add_config_arguments, config_of
from avel_tf.cli.paths import output_folder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument(
        "results", type=Path, metavar="RESULTS", help="a folder of avel infer, or its results.jsonl"
    )
    parser.add_argument(
        "--out",
        type=output_folder,
        required=True,
        metavar="DIR",
        help="folder of the clips, by class, and of annotations.csv",
    )
    parser.add_argument(
        "--select",
        default="all",
        metavar="HOW",
        help="all (default), random, confident, doubtful, or balanced: equally many of each class",
    )
    parser.add_argument("--count", type=int, metavar="N", help="number of clips (default: all)")
    parser.add_argument(
        "--margin",
        type=float,
        default=1.0,
        metavar="SECONDS",
        help="seconds before and after each event (default: 1)",
    )
    parser.add_argument(
        "--tolerance",
        type=float,
        default=0.5,
        metavar="SECONDS",
        help="seconds by which a clip may begin earlier, with a key frame, so that it is copied "
        "and not encoded again (default: 0.5)",
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="seed of random selections (default: 0)"
    )
    add_config_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Write the clips; returns 2 if some videos could not be decoded."""
    from avel_tf.datasets.event_clips import select_events, write_clips
    from avel_tf.events.result_shards import read_all_results
    from avel_tf.utils.text import printable

    config = config_of(options)
    places = select_events(
        read_all_results(options.results), options.select, options.count, seed=options.seed
    )
    if not places:
        raise ValueError(f"{options.results} has no event to cut.")
    summary = write_clips(
        read_all_results(options.results),
        places,
        options.out,
        margin=options.margin,
        tolerance=options.tolerance,
        media=config.media,
    )
    for video, cause in summary.failed.items():
        print(f"{printable(video)}: {cause}")
    print(f"Clips: {summary.clips} in {options.out}, {summary.copied} of them copied unchanged")
    print(f"Annotations: {options.out / 'annotations.csv'}")
    if not summary.clips:
        return 1
    return 2 if summary.failed else 0
