"""Audacity labels: start, end and label, separated by tabs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TextIO

from avel_tf.events.formats.text import label_text
from avel_tf.events.result import Result


def write_audacity(results: Iterable[Result], file: TextIO) -> None:
    """Write a label track; an empty file for a video without an event.

    Args:
        results: One result.
        file: A text file.

    Reference:
        Audacity manual, Importing and Exporting Labels.
    """
    (result,) = results
    for event in result.events:
        # Audacity writes and reads six decimals.
        file.write(f"{event.start:.6f}\t{event.end:.6f}\t{label_text(event.label)}\n")
