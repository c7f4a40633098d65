"""The table layout: `annotations.csv` with `video,label,start,end[,split]`."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from avel_tf.datasets.csv_dialect import FORM, Table, video_exists
from avel_tf.datasets.dataset import Annotation, Dataset, DatasetError, Video
from avel_tf.datasets.reading import alphabetical_labels, sort_annotations
from avel_tf.datasets.settings import DatasetSettings
from avel_tf.datasets.splits import assign_splits
from avel_tf.events.labels import BACKGROUND
from avel_tf.video.video_files import AmbiguousNameError, VideoFolder


@dataclass
class _Entry:
    path: Path
    line: int
    split: str
    annotations: list[Annotation] = field(default_factory=list)


def load_table(path: Path, settings: DatasetSettings) -> Dataset:
    """Reads a table of events.

    Args:
        path: The table. Paths of videos are relative to its folder or absolute; `VideoFolder`
            describes which other spellings are accepted.
        settings: Settings of the split, for a table without a split column.

    Returns:
        The data set, videos in the order of first appearance, classes in alphabetical order.

    Raises:
        DatasetError: A column is missing, or a row cannot be read; with the line.
    """
    entries: dict[str, _Entry] = {}
    files = VideoFolder(path.parent)
    table = Table(path, partial(video_exists, files.find))
    for line, row in table.rows:
        where = f"{path}, line {line}"
        video_id, video_path = _locate(row["video"], files, where)
        split = table.split(line, row.get("split", ""))
        entry = entries.setdefault(video_id, _Entry(video_path, line, split))
        if entry.split != split:
            raise DatasetError(
                f"{where}: {row['video']!r} has the split {split!r} here and {entry.split!r} in "
                f"line {entry.line}; a video belongs to one split."
            )
        annotation = _annotation(table, line, row)
        if annotation:
            entry.annotations.append(annotation)
    if not entries:
        raise DatasetError(f"{path} has no rows; expected {FORM} below the header.")

    labels = alphabetical_labels(
        (event.label for entry in entries.values() for event in entry.annotations), path
    )
    splits = _splits(entries, path, settings)
    videos = tuple(
        Video(name, entry.path, sort_annotations(entry.annotations), splits[name], name)
        for name, entry in entries.items()
    )
    return Dataset(path.parent, "table", labels, videos, tuple(table.notes))


def _locate(text: str, files: VideoFolder, where: str) -> tuple[str, Path]:
    """Returns a unique id and the path of a video, however its path is written."""
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


def _annotation(table: Table, line: int, row: dict[str, str]) -> Annotation | None:
    label, where = row["label"], f"{table.path}, line {line}"
    if not label:
        return None  # a video without events; its times are ignored
    if label.casefold() == BACKGROUND:
        raise DatasetError(
            f"{where}: {label!r} cannot be an event class, because segments without an event are "
            "background; leave the label empty to list a video without events."
        )
    if any("\udc80" <= character <= "\udcff" for character in label):
        raise DatasetError(
            f"{where}: the label {label!r} is not UTF-8 text; save the table with that encoding."
        )
    return Annotation(
        label,
        table.seconds(line, row, "start"),
        table.seconds(line, row, "end"),
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
