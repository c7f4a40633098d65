"""Raven: a selection table over a sequence of files."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable
from typing import TextIO

from avel_tf.events.formats.text import label_text, length
from avel_tf.events.result import Result
from avel_tf.utils.text import printable

COLUMNS = (
    "Selection",
    "View",
    "Channel",
    "Begin Time (s)",
    "End Time (s)",
    "Low Freq (Hz)",
    "High Freq (Hz)",
    "Begin Path",
    "Begin File",
    "File Offset (s)",
    "Annotation",
    "Score",
)
# The band of 16 kHz audio, which the embeddings use.
HIGHEST_HZ = 8000


def write_raven(results: Iterable[Result], file: TextIO) -> None:
    """Write a row per event.

    `Begin Time (s)` and `End Time (s)` count from the start of the first file, as Raven does when
    it opens a list of files; files without an event count as well. `File Offset (s)` counts from
    the start of the event's own file.

    Args:
        results: The results, in the order in which Raven opens the files.
        file: A text file.

    Reference:
        Cornell Lab of Ornithology, Raven Pro User's Manual: selection tables.
    """
    rows = csv.writer(file, "excel-tab", lineterminator="\n")
    rows.writerow(COLUMNS)
    before, number = 0.0, 0
    for result in results:
        path = printable(result.video)
        for event in result.events:
            number += 1
            times = [f"{before + event.start:.3f}", f"{before + event.end:.3f}"]
            where = [path, os.path.basename(path), f"{event.start:.3f}"]
            about = [label_text(event.label), f"{event.score:.6f}"]
            rows.writerow([number, "Spectrogram 1", 1, *times, 0, HIGHEST_HZ, *where, *about])
        before += length(result)
