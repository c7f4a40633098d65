"""results.csv: a row per event, for spreadsheets."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

from avel_tf.events.formats.text import printable
from avel_tf.events.result import Result
from avel_tf.utils.durable_files import atomic_text

# The first four are those of an annotations.csv: what was found can be corrected in a
# spreadsheet and trained on.
COLUMNS = ("video", "label", "start", "end", "score", "status", "reason", "duration", "model")

# A spreadsheet takes a cell that begins so for a formula and runs it, also inside of quotes.
# The last four are the full-width forms. https://owasp.org/www-community/attacks/CSV_Injection
FORMULA_STARTS = tuple("=+-@\t\r\n＝＋－＠")


def write_csv(results: Iterable[Result], folder: Path) -> Path:
    """Write `results.csv`, one row per event.

    A video without an event has one row with empty label, start, end and score, so that every
    input can be found, also one that was quarantined. Seconds are left to `results.jsonl`: their
    rows mean something else, and a table with two meanings cannot be summed.

    Args:
        results: The results, in the order of the rows.
        folder: Where the file goes; made when it is missing.

    Returns:
        The file.

    Reference:
        RFC 4180, Common Format and MIME Type for Comma-Separated Values (CSV) Files.
    """
    path = folder / "results.csv"
    with atomic_text(path) as file:
        rows = csv.writer(file, lineterminator="\r\n")
        rows.writerow(COLUMNS)
        for result in results:
            duration = "" if result.duration is None else f"{result.duration:.3f}"
            about = [result.status, result.reason or "", duration, result.model or ""]
            for event in result.events:
                span = [f"{event.start:.3f}", f"{event.end:.3f}", f"{event.score:.6f}"]
                rows.writerow(_safe([result.video, event.label, *span, *about]))
            if not result.events:
                rows.writerow(_safe([result.video, "", "", "", "", *about]))
    return path


def _safe(cells: list[str]) -> list[str]:
    # A cell that begins with an apostrophe gets one as well, so that taking the first one away
    # always gives the original.
    return [
        f"'{cell}" if cell.startswith((*FORMULA_STARTS, "'")) else cell
        for cell in map(printable, cells)
    ]
