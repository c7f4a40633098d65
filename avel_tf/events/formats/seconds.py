"""CSV of seconds: a row per labelled second."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from typing import TextIO

from avel_tf.events.formats.csv import spreadsheet_row
from avel_tf.events.result import Result

COLUMNS = ("video", "start", "end", "label", "score")


def write_seconds(results: Iterable[Result], file: TextIO) -> None:
    """Write a table with one row per second; seconds of background are rows as well.

    A second with several labels, of a multi-label model, has a row for each. Seconds without an
    answer, and videos without any, have no row: `csv` lists every video with its status.

    Args:
        results: The results, in the order of the rows.
        file: A text file opened with `newline=""`.

    Reference:
        RFC 4180, Common Format and MIME Type for Comma-Separated Values (CSV) Files.
    """
    rows = csv.writer(file, lineterminator="\r\n")
    rows.writerow(COLUMNS)
    for result in results:
        for second in result.seconds:
            span = [f"{second.start:.3f}", f"{second.end:.3f}"]
            labels = [(each.label, each.score) for each in second.labels or ()]
            for label, score in labels or [(second.label, second.score)]:
                rows.writerow(spreadsheet_row([result.video, *span, label, f"{score:.6f}"]))
