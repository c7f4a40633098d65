"""avel report: results or a training run as a page to look at."""

from __future__ import annotations

import argparse

from avel_tf.cli.paths import input_folder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("folder", type=input_folder, metavar="RESULTS|RUN")
    parser.add_argument(
        "--beside",
        type=input_folder,
        nargs="+",
        default=[],
        metavar="RUN",
        help="other training runs to hold RUN against, as in an ablation",
    )


def run(options: argparse.Namespace) -> int:
    """Write index.html beside results, or report.html beside a run."""
    from avel_tf.reports.results_report import write_results_report
    from avel_tf.reports.training_report import write_training_report

    if (options.folder / "results.jsonl").is_file():
        if options.beside:
            raise ValueError(
                "--beside holds training runs against each other; results have no truth."
            )
        page = write_results_report(options.folder)
    elif (options.folder / "metrics.json").is_file():
        page = write_training_report(options.folder, beside=options.beside)
    else:
        raise ValueError(
            f"{options.folder} holds neither results.jsonl (avel infer) nor metrics.json "
            "(avel train)."
        )
    print(f"The page lies in {page}")
    return 0
