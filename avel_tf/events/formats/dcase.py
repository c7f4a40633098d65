"""DCASE: the tab-separated event list of sound event detection."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from typing import TextIO

from avel_tf.events.formats.text import label_text
from avel_tf.events.result import Result
from avel_tf.utils.text import printable

COLUMNS = ("filename", "onset", "offset", "event_label")


def write_dcase(results: Iterable[Result], file: TextIO) -> None:
    """Write a row per event; a video without an event has a row with its name alone.

    Args:
        results: The results, in the order of the rows.
        file: A text file.

    Reference:
        DCASE task 4, Sound Event Detection in Domestic Environments: strong labels.
    """
    rows = csv.writer(file, "excel-tab", lineterminator="\n")
    rows.writerow(COLUMNS)
    for result in results:
        name = printable(result.video)
        for event in result.events:
            rows.writerow([name, f"{event.start:.3f}", f"{event.end:.3f}", label_text(event.label)])
        if not result.events:
            rows.writerow([name, "", "", ""])
