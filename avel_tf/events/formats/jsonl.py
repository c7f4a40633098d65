"""results.jsonl: a line per input, from which every other format derives."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from avel_tf.events.result import Result
from avel_tf.utils.durable_files import atomic_text


def write_jsonl(results: Iterable[Result], folder: Path) -> Path:
    """Write `results.jsonl`, one result a line.

    Args:
        results: The results, in the order of the lines.
        folder: Where the file goes; made when it is missing.

    Returns:
        The file.

    Reference:
        docs/reference/results.md; JSON Lines, https://jsonlines.org.
    """
    path = folder / "results.jsonl"
    with atomic_text(path) as file:
        for result in results:
            file.write(result.to_json() + "\n")
    return path
