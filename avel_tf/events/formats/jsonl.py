"""JSON Lines: a line per input, from which every other format is derived."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TextIO

from avel_tf.events.result import Result


def write_jsonl(results: Iterable[Result], file: TextIO) -> None:
    """Write one result per line.

    Args:
        results: The results, in the order of the lines.
        file: A text file.

    Reference:
        docs/reference/results.md; JSON Lines, https://jsonlines.org.
    """
    for result in results:
        file.write(result.to_json() + "\n")
