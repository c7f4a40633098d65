"""avel convert: write results in the format of another tool."""

from __future__ import annotations

import argparse

from avel_tf.cli.paths import output_folder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument(
        "results",
        metavar="RESULTS",
        help="a folder of avel infer, its results.jsonl, or a bucket s3:// or gs:// with results",
    )
    parser.add_argument(
        "--to",
        required=True,
        metavar="FORMAT",
        help="one or several, separated by commas: csv, parquet, dcase, vtt, srt, activitynet, "
        "fiftyone, labelstudio, eaf, textgrid, audacity, raven, edl, otio, chapters, jsonl",
    )
    parser.add_argument(
        "--out", type=output_folder, required=True, metavar="DIR", help="folder of the new files"
    )


def run(options: argparse.Namespace) -> int:
    """Write the formats and print their paths."""
    from avel_tf.events.formats import check_formats, write_formats
    from avel_tf.events.result_shards import read_all_results

    names = check_formats(each.strip() for each in options.to.split(",") if each.strip())
    if not names:
        raise ValueError(f"--to expects the name of a format. Received: {options.to!r}")
    results = read_all_results(options.results)
    for name, path in write_formats(names, results, options.out).items():
        print(f"{name}: {path}")
    return 0
