"""avel report: write an HTML page of results or of a training run."""

from __future__ import annotations

import argparse
from pathlib import Path

from avel_tf.cli.common import add_config_arguments, config_of
from avel_tf.cli.paths import input_folder, input_folder_or_bucket, output_folder

DEFAULT_THUMBNAILS = 200


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument(
        "folder",
        type=input_folder_or_bucket,
        metavar="RESULTS|RUN",
        help="a folder of avel infer or avel train, or a bucket s3:// or gs:// with results",
    )
    parser.add_argument(
        "--compare",
        type=input_folder_or_bucket,
        metavar="RESULTS",
        help="other results of the same videos to compare RESULTS with",
    )
    parser.add_argument(
        "--annotations",
        type=Path,
        metavar="DATA",
        help="a data set whose annotations are shown beside the results",
    )
    parser.add_argument(
        "--thumbnails",
        type=_count,
        default=DEFAULT_THUMBNAILS,
        metavar="N|none",
        help="largest number of events with a thumbnail, for which their videos are decoded "
        f"(default: {DEFAULT_THUMBNAILS})",
    )
    parser.add_argument(
        "--beside",
        type=input_folder,
        nargs="+",
        default=[],
        metavar="RUN",
        help="other training runs to compare RUN with, as in an ablation",
    )
    parser.add_argument(
        "--out",
        type=output_folder,
        metavar="DIR",
        help="folder of the page (default: that of the results or the run; required for a bucket)",
    )
    add_config_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Write index.html or comparison.html about results, or report.html about a run."""
    from avel_tf.events.result_shards import has_results

    config = config_of(options)

    def page_named(name: str) -> Path | None:
        return None if options.out is None else options.out / name

    if has_results(options.folder):
        if options.beside:
            raise ValueError(
                "--beside compares training runs; --compare compares results. Received: the "
                f"results folder {options.folder}"
            )
        common = {
            "reference": None if options.annotations is None else _reference(options.annotations),
            "thumbnails": options.thumbnails,
            "media": config.media,
        }
        if options.compare:
            from avel_tf.reports.results_comparison import write_results_comparison

            page = write_results_comparison(
                options.folder, options.compare, out=page_named("comparison.html"), **common
            )
        else:
            from avel_tf.reports.results_report import write_results_report

            page = write_results_report(options.folder, out=page_named("index.html"), **common)
    elif Path(options.folder, "metrics.json").is_file():
        if options.compare or options.annotations:
            raise ValueError(
                "--compare and --annotations are for results; --beside compares training runs. "
                f"Received: the run {options.folder}"
            )
        from avel_tf.reports.training_report import write_training_report

        page = write_training_report(
            options.folder, beside=options.beside, out=page_named("report.html")
        )
    else:
        raise ValueError(
            f"{options.folder} contains neither results.jsonl (avel infer) nor metrics.json "
            "(avel train)."
        )
    print(f"Report: {page}")
    return 0


def _count(text: str) -> int:
    if text == "none":
        return 0
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected a number or none; received {text!r}.")
    return int(text)


def _reference(data: Path) -> dict[str, list[tuple[str, float, float]]]:
    """Annotated events of each video of a data set, by its path."""
    from avel_tf.datasets import load_dataset

    events: dict[str, list[tuple[str, float, float]]] = {}
    for video in load_dataset(data).videos:  # several of AVE may share a file
        events.setdefault(str(video.path), []).extend(
            (each.label, each.start, each.end) for each in video.annotations
        )
    return events
