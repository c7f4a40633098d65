"""Parquet: a row per event, for pandas, DuckDB and Spark."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TextIO

from avel_tf.events.result import Result
from avel_tf.utils.text import valid_unicode

# Rows that are in memory at a time.
ROWS_PER_GROUP = 50_000


def write_parquet(results: Iterable[Result], file: TextIO) -> None:
    """Write a table with one row per event, of the columns of the csv format.

    A video without an event has one row whose label, start, end and score are null.

    Args:
        results: The results, in the order of the rows.
        file: A text file, whose binary buffer is written.

    Raises:
        ImportError: pyarrow is not installed.

    Reference:
        Apache Parquet, https://parquet.apache.org/docs/file-format/.
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise ImportError(
            "The format parquet needs pyarrow: pip install 'avel-tf[parquet]'"
        ) from error
    text, number = pyarrow.string(), pyarrow.float64()
    schema = pyarrow.schema(
        [("video", text), ("label", text), ("start", number), ("end", number), ("score", number)]
        + [("status", text), ("reason", text), ("duration", number), ("model", text)]
    )
    with parquet.ParquetWriter(file.buffer, schema) as writer:
        rows: list[dict[str, Any]] = []
        for result in results:
            rows.extend(_rows(result))
            if len(rows) >= ROWS_PER_GROUP:
                writer.write_table(pyarrow.Table.from_pylist(rows, schema))
                rows = []
        writer.write_table(pyarrow.Table.from_pylist(rows, schema))


def _rows(result: Result) -> list[dict[str, Any]]:
    about = {
        "video": valid_unicode(result.video),
        "status": result.status,
        "reason": None if result.reason is None else valid_unicode(result.reason),
        "duration": result.duration,
        "model": None if result.model is None else valid_unicode(result.model),
    }
    return [
        {
            **about,
            "label": valid_unicode(event.label),
            "start": event.start,
            "end": event.end,
            "score": event.score,
        }
        for event in result.events
    ] or [about]
