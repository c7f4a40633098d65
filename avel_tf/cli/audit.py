"""avel audit: find defects of a data set."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from avel_tf.cli.common import add_config_arguments, config_of
from avel_tf.cli.paths import output_file


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument(
        "data", type=Path, metavar="DATA", help="a data set (docs/reference/datasets.md)"
    )
    parser.add_argument(
        "--out", type=output_file, metavar="FILE.html", help="also write an HTML page with plots"
    )
    parser.add_argument(
        "--quick", action="store_true", help="read headers only, do not decode the files"
    )
    add_config_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Print every defect; returns 2 if there are errors among them."""
    from avel_tf.cli.common import Progress
    from avel_tf.datasets import load_dataset
    from avel_tf.datasets.audit import audit

    config = config_of(options)
    dataset = load_dataset(options.data, config.dataset)
    settings = replace(config.audit, quick=config.audit.quick or options.quick)
    with Progress("reading", "files") as progress:
        report = audit(dataset, settings, progress=progress, media=config.media)
    print(report.to_text())
    if options.out:
        from avel_tf.reports.audit_report import write_audit_report

        write_audit_report(report, options.out)
        print(f"Report: {options.out}")
    return 2 if any(finding.severity == "error" for finding in report.findings) else 0
