"""CSV: a row per event, for spreadsheets."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from typing import TextIO

from avel_tf.events.result import Result
from avel_tf.utils.text import valid_unicode

# The first four are those of an annotations.csv, so results can be corrected in a spreadsheet and
# used for training.
COLUMNS = ("video", "label", "start", "end", "score", "status", "reason", "duration", "model")

# A spreadsheet evaluates a cell that begins with one of these as a formula, even if it is quoted.
# The last four are the full-width forms. https://owasp.org/www-community/attacks/CSV_Injection
FORMULA_STARTS = tuple("=+-@\t\r\n＝＋－＠")


def write_csv(results: Iterable[Result], file: TextIO) -> None:
    """Write a table with one row per event.

    A video without an event has one row with empty label, start, end and score, so that every
    input is listed. Seconds are in the format `seconds`: a table has one kind of row.

    Args:
        results: The results, in the order of the rows.
        file: A text file opened with `newline=""`.

    Reference:
        RFC 4180, Common Format and MIME Type for Comma-Separated Values (CSV) Files.
    """
    rows = csv.writer(file, lineterminator="\r\n")
    rows.writerow(COLUMNS)
    for result in results:
        duration = "" if result.duration is None else f"{result.duration:.3f}"
        about = [result.status, result.reason or "", duration, result.model or ""]
        for event in result.events:
            span = [f"{event.start:.3f}", f"{event.end:.3f}", f"{event.score:.6f}"]
            rows.writerow(spreadsheet_row([result.video, event.label, *span, *about]))
        if not result.events:
            rows.writerow(spreadsheet_row([result.video, "", "", "", "", *about]))


def spreadsheet_row(cells: list[str]) -> list[str]:
    """Cells that no spreadsheet evaluates as a formula, in valid Unicode."""
    # A cell that begins with an apostrophe gets another one, so removing one always restores the
    # original.
    return [
        f"'{cell}" if cell.startswith((*FORMULA_STARTS, "'")) else cell
        for cell in map(valid_unicode, cells)
    ]
