"""HTML page of a dataset audit."""

from __future__ import annotations

from pathlib import Path

from avel_tf.datasets.audit.report import AuditReport, printable
from avel_tf.reports.audit_figures import draw_report
from avel_tf.reports.html import write_page

_WORST = 200


def write_audit_report(report: AuditReport, path: str | Path) -> None:
    """Writes an audit as one self-contained HTML page.

    Args:
        report: The audit.
        path: The HTML file to write.
    """
    write_page(
        path,
        "audit.html",
        report=report,
        name=report.dataset.root.name or str(report.dataset.root),
        printable=printable,
        worst=_WORST,
        drawings=draw_report(report),
    )
