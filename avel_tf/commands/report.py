"""avel report: results or a training run as a page to look at."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("folder", type=Path, metavar="RESULTS|RUN")


def run(options: argparse.Namespace) -> int:
    """Write index.html beside results, or report.html beside a run."""
    from avel_tf.reports.results_page import write_results_page
    from avel_tf.reports.run_page import write_run_page

    if (options.folder / "results.jsonl").is_file():
        page = write_results_page(options.folder)
    elif (options.folder / "metrics.json").is_file():
        page = write_run_page(options.folder)
    else:
        raise ValueError(
            f"{options.folder} holds neither results.jsonl (avel infer) nor metrics.json "
            "(avel train)."
        )
    print(f"The page lies in {page}")
    return 0
