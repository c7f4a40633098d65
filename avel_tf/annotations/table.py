"""The table layout: `annotations.csv` with `video,label,start,end[,split]`."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from avel_tf.annotations.annotation import Annotation
from avel_tf.annotations.dataset import Dataset
from avel_tf.annotations.errors import DatasetError
from avel_tf.annotations.reading import (
    alphabetical_labels,
    decode_text,
    parse_seconds,
    read_bytes,
    sort_annotations,
)
from avel_tf.annotations.settings import DatasetSettings
from avel_tf.annotations.splits import assign_splits
from avel_tf.annotations.video import SPLITS, Video
from avel_tf.labels import BACKGROUND, did_you_mean
from avel_tf.video_files import AmbiguousNameError, VideoFolder

_REQUIRED = ("video", "label", "start", "end")
_FORM = ",".join(_REQUIRED) + "[,split]"


@dataclass
class _Entry:
    path: Path
    line: int
    split: str
    annotations: list[Annotation] = field(default_factory=list)


def load_table(path: Path, settings: DatasetSettings) -> Dataset:
    """Reads a table of events.

    Args:
        path: The table. Videos are named relative to its folder, or absolutely; `VideoFolder`
            says which other spellings are understood.
        settings: The split, where the table has no column for it.

    Returns:
        The data set, in the order in which the videos first appear; classes in alphabetical order.

    Raises:
        DatasetError: A column is missing, or a row cannot be read; with the line.
    """
    entries: dict[str, _Entry] = {}
    files = VideoFolder(path.parent)
    for line, row in _rows(path):
        where = f"{path}, line {line}"
        video_id, video_path = _locate(row["video"], files, where)
        split = _split_name(row.get("split", ""), where)
        entry = entries.setdefault(video_id, _Entry(video_path, line, split))
        if entry.split != split:
            raise DatasetError(
                f"{where}: {row['video']!r} has the split {split!r} here and {entry.split!r} in "
                f"line {entry.line}; a video belongs to one split."
            )
        annotation = _annotation(row, where)
        if annotation:
            entry.annotations.append(annotation)
    if not entries:
        raise DatasetError(f"{path} lists no video; expected rows of {_FORM} below the header.")

    labels = alphabetical_labels(
        (event.label for entry in entries.values() for event in entry.annotations), path
    )
    splits = _splits(entries, path, settings)
    videos = tuple(
        Video(name, entry.path, sort_annotations(entry.annotations), splits[name], name)
        for name, entry in entries.items()
    )
    return Dataset(path.parent, "table", labels, videos)


def _rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Yields each row that is not blank, by column name, with the line it ends on."""
    # Bytes that are not UTF-8 are kept, because a file name on Linux may hold any.
    text = decode_text(read_bytes(path), "surrogateescape")
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    columns: list[str] = []
    try:
        for fields in reader:
            fields = [value.strip() for value in fields]
            if not any(fields):
                continue
            if not columns:
                columns = _columns(fields, path)
                continue
            where = f"{path}, line {reader.line_num}"
            if any(fields[len(columns) :]):
                raise DatasetError(
                    f"{where}: {len(fields)} fields, but the header has {len(columns)}; put a "
                    f'field that holds a comma in quotes, such as "Violin, fiddle". '
                    f"Received {fields!r}."
                )
            if len(fields) < len(columns) and any(
                column in _REQUIRED for column in columns[len(fields) :]
            ):
                raise DatasetError(
                    f"{where}: only {len(fields)} of {len(columns)} fields; received {fields!r}, "
                    f"expected {','.join(columns)}."
                )
            yield reader.line_num, dict(zip(columns, fields, strict=False))
    except csv.Error as error:
        raise DatasetError(f"{path}, line {reader.line_num}: not a CSV row: {error}.") from error
    if not columns:
        raise DatasetError(f"{path} is empty; expected a header with {_FORM}.")


def _columns(header: list[str], path: Path) -> list[str]:
    columns = [name.casefold() for name in header]
    known = (*_REQUIRED, "split")
    missing = [name for name in _REQUIRED if name not in columns]
    if missing:
        hint = ""
        if len(columns) == 1 and any(mark in columns[0] for mark in ";\t"):
            hint = " The columns must be separated by commas."
        else:
            strangers = [name for name in columns if name not in known]
            hint = "".join(
                f" There is a column {name!r}.{did_you_mean(name, missing)}"
                for name in strangers
                if did_you_mean(name, missing)
            )
        raise DatasetError(
            f"{path}: the header lacks {', '.join(missing)}; expected {_FORM} in any order, "
            f"received {','.join(header)!r}.{hint}"
        )
    doubled = [name for name in known if columns.count(name) > 1]
    if doubled:
        raise DatasetError(f"{path}: the header has the column {doubled[0]!r} more than once.")
    return columns


def _locate(text: str, files: VideoFolder, where: str) -> tuple[str, Path]:
    """Gives one name to one file, however its path is written."""
    folder = files.folder
    if not text or "\0" in text:
        raise DatasetError(
            f"{where}: the video {text!r} is not a path; expected one relative to {folder}, "
            "or an absolute one."
        )
    try:
        found = files.find(text)
    except AmbiguousNameError as error:
        raise DatasetError(f"{where}: {error}.") from error
    path = found or Path(os.path.normpath(folder / text))
    if os.path.isabs(text) and not path.is_relative_to(folder):
        return path.as_posix(), path
    return Path(os.path.relpath(path, folder)).as_posix(), path


def _split_name(text: str, where: str) -> str:
    if text and text not in SPLITS:
        raise DatasetError(
            f"{where}: the split {text!r} is unknown; expected one of {', '.join(SPLITS)}."
            f"{did_you_mean(text, SPLITS)}"
        )
    return text


def _annotation(row: dict[str, str], where: str) -> Annotation | None:
    label = row["label"]
    if not label:
        return None  # A video without an event; its times say nothing.
    if label.casefold() == BACKGROUND:
        raise DatasetError(
            f"{where}: {label!r} is not an event class, because every second without an event is "
            "background; leave the label empty to list a video without events."
        )
    if any("\udc80" <= character <= "\udcff" for character in label):
        raise DatasetError(
            f"{where}: the label {label!r} is not UTF-8 text; save the table with that encoding."
        )
    return Annotation(
        label,
        parse_seconds(row["start"], "start", where),
        parse_seconds(row["end"], "end", where),
    )


def _splits(entries: dict[str, _Entry], path: Path, settings: DatasetSettings) -> dict[str, str]:
    without = [(name, entry) for name, entry in entries.items() if not entry.split]
    if len(without) == len(entries):
        labels_of = {
            name: {event.label for event in entry.annotations} for name, entry in entries.items()
        }
        return assign_splits(labels_of, settings)
    if without:
        name, entry = without[0]
        raise DatasetError(
            f"{path}, line {entry.line}: {name!r} has no split, but other videos have one; fill "
            "in the column for all of them, or for none to have them split by a seed."
        )
    return {name: entry.split for name, entry in entries.items()}
