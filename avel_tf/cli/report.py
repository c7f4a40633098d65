"""avel report: write an HTML page of results or of a training run."""

from __future__ import annotations

import argparse

from avel_tf.cli.paths import input_folder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument(
        "folder",
        type=input_folder,
        metavar="RESULTS|RUN",
        help="a folder of avel infer or avel train",
    )
    parser.add_argument(
        "--beside",
        type=input_folder,
        nargs="+",
        default=[],
        metavar="RUN",
        help="other training runs to compare RUN with, as in an ablation",
    )


def run(options: argparse.Namespace) -> int:
    """Write index.html into a results folder, or report.html into a run."""
    from avel_tf.events.result_shards import has_results
    from avel_tf.reports.results_report import write_results_report
    from avel_tf.reports.training_report import write_training_report

    if has_results(options.folder):
        if options.beside:
            raise ValueError(
                "--beside compares training runs, but results have no annotations to compare with. "
                f"Received: the results folder {options.folder}"
            )
        page = write_results_report(options.folder)
    elif (options.folder / "metrics.json").is_file():
        page = write_training_report(options.folder, beside=options.beside)
    else:
        raise ValueError(
            f"{options.folder} contains neither results.jsonl (avel infer) nor metrics.json "
            "(avel train)."
        )
    print(f"Report: {page}")
    return 0
