"""Readers of other tools' annotations, one file each: `IMPORTERS` lists them."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from avel_tf.datasets.dataset import Annotation, DatasetError
from avel_tf.datasets.importers.detections import read_detections
from avel_tf.datasets.importers.eaf import read_eaf
from avel_tf.datasets.importers.labelstudio import read_labelstudio
from avel_tf.datasets.importers.tables import read_audacity, read_dcase, read_raven
from avel_tf.datasets.importers.textgrid import read_textgrid
from avel_tf.datasets.importers.vtt import read_vtt
from avel_tf.datasets.reading import sort_annotations
from avel_tf.utils.durable_files import atomic_path
from avel_tf.utils.text import did_you_mean

# Events by video; a video without events has an empty list.
Videos = dict[str, list[Annotation]]


@dataclass(frozen=True)
class Importer:
    """A reader of annotations.

    Args:
        read: Reads a file. The text is the path of its video, for formats that do not hold it.
        suffix: Suffix of the files in a folder.
    """

    read: Callable[[Path, str], Videos]
    suffix: str


IMPORTERS = {
    "activitynet": Importer(read_detections, ".json"),
    "audacity": Importer(read_audacity, ".txt"),
    "dcase": Importer(read_dcase, ".tsv"),
    "eaf": Importer(read_eaf, ".eaf"),
    "labelstudio": Importer(read_labelstudio, ".json"),
    "raven": Importer(read_raven, ".txt"),
    "textgrid": Importer(read_textgrid, ".TextGrid"),
    "vtt": Importer(read_vtt, ".vtt"),
}


def import_annotations(source: Path, name: str, out: Path) -> Videos:
    """Write the events of a tool as annotations.csv.

    The files of a folder are read together. Formats that do not name their video belong to the
    video of their own name: `videos/dog.mp4.TextGrid` to `videos/dog.mp4`, relative to the folder.

    Args:
        source: A file, or a folder of files.
        name: A name from `IMPORTERS`.
        out: The table to write, with `video,label,start,end`.

    Returns:
        The events by video, as written.

    Raises:
        DatasetError: The format is unknown, or a file is not of this format.
    """
    if name not in IMPORTERS:
        raise DatasetError(
            f"Unknown format of annotations. Received: {name!r}; expected one of "
            f"{', '.join(IMPORTERS)}.{did_you_mean(name, IMPORTERS)}"
        )
    importer = IMPORTERS[name]
    videos: Videos = {}
    for path, named in _files(source, importer.suffix):
        for video, events in importer.read(path, named).items():
            videos.setdefault(video, []).extend(events)
    with (
        atomic_path(out) as temporary,
        temporary.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file,
    ):
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(("video", "label", "start", "end"))
        for video, events in videos.items():
            for event in sort_annotations(events):
                rows.writerow((video, event.label, event.start, event.end))
            if not events:
                rows.writerow((video, "", "", ""))
    return videos


def _files(source: Path, suffix: str) -> list[tuple[Path, str]]:
    """Files to read, and the path of the video that each is named after."""
    if source.is_file():
        return [(source, _without(source.name, suffix))]
    paths = sorted(source.rglob("*")) if source.is_dir() else []
    paths = [path for path in paths if path.name.casefold().endswith(suffix.casefold())]
    if not paths:
        raise DatasetError(
            f"{source} is neither a file nor a folder with {suffix} files; expected annotations "
            "of another tool."
        )
    return [(path, _without(path.relative_to(source).as_posix(), suffix)) for path in paths]


def _without(name: str, suffix: str) -> str:
    stem = name[: -len(suffix)] if name.casefold().endswith(suffix.casefold()) else name
    return stem or name
