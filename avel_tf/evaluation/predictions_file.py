"""Reading and writing of `predictions.jsonl`, with one line per clip of a split."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from avel_tf.evaluation.clip_outcome import ClipOutcome
from avel_tf.events.labels import Labels
from avel_tf.utils.durable_files import atomic_text

FILE = "predictions.jsonl"


def write_predictions(folder: str | Path, outcomes: Iterable[ClipOutcome], labels: Labels) -> Path:
    """Write `predictions.jsonl` as a whole. docs/reference/metrics.md describes it.

    Args:
        folder: Folder of the file.
        outcomes: The clips.
        labels: The class vocabulary.

    Returns:
        Path of the file. The same outcomes give the same bytes.
    """
    path = Path(folder) / FILE
    with atomic_text(path) as file:
        for outcome in outcomes:
            record = outcome.to_record(labels)
            file.write(json.dumps(record, ensure_ascii=True, allow_nan=False) + "\n")
    return path


def read_predictions(path: str | Path, labels: Labels) -> list[ClipOutcome]:
    """Read `predictions.jsonl`.

    Args:
        path: The file.
        labels: The class vocabulary, as in the `labels.txt` of the run.

    Returns:
        The clips, in the order of the file.

    Raises:
        ValueError: If a line is invalid. The message names file and line.
        OSError: If the file cannot be read.
    """
    outcomes = []
    with open(path, "rb") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                outcomes.append(ClipOutcome.from_record(json.loads(line), labels))
            except (KeyError, TypeError, ValueError, RecursionError) as error:
                raise ValueError(
                    f"Line {number} of {path} is not a prediction of a clip "
                    f"({type(error).__name__}: {error}). avel train and avel evaluate --out "
                    "write this file."
                ) from error
    return outcomes
