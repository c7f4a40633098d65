"""Tab-separated tables: Audacity labels, DCASE event lists, Raven selection tables."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

from avel_tf.datasets.dataset import Annotation, DatasetError
from avel_tf.datasets.reading import decode_text, parse_seconds, read_bytes

# The columns of the label in a Raven table, which users name; the first one that is there counts.
_RAVEN_LABELS = ("Annotation", "Label", "Species", "Tag", "Class", "Common Name")


def read_audacity(path: Path, video: str) -> dict[str, list[Annotation]]:
    """Read a label track.

    Args:
        path: The exported labels.
        video: The video, which the file does not name.

    Returns:
        The events of the video.

    Raises:
        DatasetError: A line is not a label.
    """
    events = []
    for number, line in enumerate(_text(path).split("\n"), start=1):
        line = line.rstrip("\r")
        if not line.strip() or line.startswith("\\"):  # the frequencies of a spectral selection
            continue
        where = f"{path}, line {number}"
        start, end, label = (*line.split("\t", 2), "", "", "")[:3]
        if not label.strip():
            raise DatasetError(
                f"{where}: expected start, end and label, separated by tabs; received {line!r}."
            )
        times = parse_seconds(start, "start", where), parse_seconds(end, "end", where)
        events.append(Annotation(label.strip(), *times))
    return {video: events}


def read_dcase(path: Path, video: str) -> dict[str, list[Annotation]]:
    """Read an event list with the columns `filename`, `onset`, `offset` and `event_label`.

    Args:
        path: The list; a row without a label lists a file without events.
        video: Not used: the file names its videos.

    Returns:
        The events by file name.

    Raises:
        DatasetError: A column is missing, or a time is not a number.
    """
    videos: dict[str, list[Annotation]] = {}
    for where, row in _rows(path, ("filename", "onset", "offset", "event_label")):
        events = videos.setdefault(row["filename"], [])
        if row["event_label"]:
            times = (parse_seconds(row[name], name, where) for name in ("onset", "offset"))
            events.append(Annotation(row["event_label"], *times))
    return videos


def read_raven(path: Path, video: str) -> dict[str, list[Annotation]]:
    """Read a selection table.

    The times of a table over several files come from `File Offset (s)`. Rows of the waveform view
    repeat those of the spectrogram and are left out where both are there.

    Args:
        path: The table.
        video: The video of a table without the columns `Begin Path` and `Begin File`.

    Returns:
        The events by video.

    Raises:
        DatasetError: A column is missing, or a time is not a number.
    """
    rows = list(_rows(path, ("Begin Time (s)", "End Time (s)")))
    views = {row.get("View", "").split(" ")[0] for _, row in rows}
    videos: dict[str, list[Annotation]] = {}
    for where, row in rows:
        if "Spectrogram" in views and row.get("View", "").startswith("Waveform"):
            continue
        label = next((row[name] for name in _RAVEN_LABELS if row.get(name)), "")
        if not label:
            raise DatasetError(
                f"{where}: no label; expected a column {', '.join(_RAVEN_LABELS[:-1])} or "
                f"{_RAVEN_LABELS[-1]}."
            )
        begin = parse_seconds(row["Begin Time (s)"], "start", where)
        end = parse_seconds(row["End Time (s)"], "end", where)
        offset = row.get("File Offset (s)")
        start = parse_seconds(offset, "start", where) if offset else begin
        name = row.get("Begin Path") or row.get("Begin File") or video
        # Raven writes microseconds at most.
        event = Annotation(label, start, round(start + end - begin, 6))
        videos.setdefault(name, []).append(event)
    return videos


def _text(path: Path) -> str:
    return decode_text(read_bytes(path), "latin-1")


def _rows(path: Path, needed: tuple[str, ...]) -> Iterator[tuple[str, dict[str, str]]]:
    """Place and fields of each row; a field that is missing is empty."""
    rows = csv.DictReader(io.StringIO(_text(path), newline=""), dialect="excel-tab", restval="")
    missing = [name for name in needed if name not in (rows.fieldnames or ())]
    if missing:
        raise DatasetError(
            f"{path}: the header lacks {', '.join(missing)}; expected columns separated by tabs."
        )
    for row in rows:
        yield f"{path}, line {rows.line_num}", row
