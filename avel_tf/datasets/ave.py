"""The AVE layout: `Annotations.txt`, three split files, videos in `AVE/`.

Reference:
    Tian, Shi, Li, Duan, Xu: Audio-Visual Event Localization in Unconstrained Videos, ECCV 2018.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from avel_tf.datasets.dataset import Annotation, Dataset, DatasetError, Video
from avel_tf.datasets.reading import decode_text, parse_seconds, read_bytes
from avel_tf.datasets.settings import DatasetSettings
from avel_tf.datasets.splits import assign_splits
from avel_tf.events.labels import AVE_CLASSES, Labels
from avel_tf.video.video_files import AmbiguousNameError, VideoFolder

ANNOTATIONS_FILE = "Annotations.txt"
SPLIT_FILES = {"train": "trainSet.txt", "validation": "valSet.txt", "test": "testSet.txt"}

_FIELDS = ("Category", "VideoID", "Quality", "StartTime", "EndTime")
_FORM = "&".join(_FIELDS)


@dataclass(frozen=True)
class _Row:
    where: str
    media_id: str
    annotation: Annotation


def find_ave_files(folder: Path) -> dict[str, Path]:
    """Finds AVE's annotation files, ignoring case.

    Args:
        folder: The folder.

    Returns:
        The existing files by their official names.
    """
    official = {name.casefold(): name for name in (ANNOTATIONS_FILE, *SPLIT_FILES.values())}
    return {
        official[entry.name.casefold()]: entry
        for entry in sorted(folder.iterdir())
        if entry.name.casefold() in official and entry.is_file()
    }


def load_ave(root: Path, settings: DatasetSettings) -> Dataset:
    """Reads the AVE data set.

    Each row is an example with a single event, even if two rows share a file. Without any split
    file, the rows of `Annotations.txt` are split by `settings`. A row with start = end = 0 (the
    official train split has one) is kept: the example is all background, as in the published
    features.

    Args:
        root: The folder with the text files.
        settings: Settings of the split, for a folder without split files. The caller removes leaks.

    Returns:
        The data set, in the order train, validation, test.

    Raises:
        DatasetError: A file is missing, or a line is not a row.
    """
    files = find_ave_files(root)
    missing = [name for name in SPLIT_FILES.values() if name not in files]
    if 0 < len(missing) < len(SPLIT_FILES):
        raise DatasetError(
            f"{root} has only some of AVE's split files; missing: {', '.join(missing)}. Add them, "
            f"or remove all three to split {ANNOTATIONS_FILE} by the seed."
        )
    listed = _read_rows(files[ANNOTATIONS_FILE]) if ANNOTATIONS_FILE in files else []
    names = dict.fromkeys(row.annotation.label for row in listed)
    try:
        labels = Labels(tuple(names) or AVE_CLASSES)
    except ValueError as error:
        raise DatasetError(f"{files[ANNOTATIONS_FILE]}: {error}") from error

    rows: list[tuple[str, _Row]]
    if missing:
        labels_of: dict[str, set[str]] = {}
        for row in listed:
            labels_of.setdefault(row.media_id, set()).add(row.annotation.label)
        splits = assign_splits(labels_of, settings)
        rows = [(splits[row.media_id], row) for row in listed]
    else:
        rows = [
            (split, row) for split, name in SPLIT_FILES.items() for row in _read_rows(files[name])
        ]
    return Dataset(root, "ave", labels, _videos(root, labels, rows))


def _videos(root: Path, labels: Labels, rows: list[tuple[str, _Row]]) -> tuple[Video, ...]:
    seen: Counter[str] = Counter()
    files = VideoFolder(root / "AVE")
    videos = []
    for split, row in rows:
        try:
            labels.index(row.annotation.label)
        except ValueError as error:
            raise DatasetError(f"{row.where}: {error}") from None
        seen[row.media_id] += 1
        count = seen[row.media_id]
        videos.append(
            Video(
                id=row.media_id if count == 1 else f"{row.media_id}#{count}",
                path=_file_of(row, files),
                annotations=(row.annotation,),
                split=split,
                media_id=row.media_id,
            )
        )
    return tuple(videos)


def _file_of(row: _Row, files: VideoFolder) -> Path:
    """Finds the file of a row: an mp4 as in AVE, or another video of that name."""
    official = f"{row.media_id}.mp4"
    try:
        found = files.find(official) or files.find(row.media_id)
    except AmbiguousNameError as error:
        raise DatasetError(f"{row.where}: {error}.") from error
    return found or files.folder / official


def _read_rows(path: Path) -> list[_Row]:
    # Not `splitlines`, which also splits at characters that may be in Latin-1 names.
    text = decode_text(read_bytes(path), "latin-1").replace("\r\n", "\n").replace("\r", "\n")
    rows: list[_Row] = []
    for number, line in enumerate(text.split("\n"), start=1):
        # From the right: only the class name could contain an ampersand.
        fields = [field.strip() for field in line.rsplit("&", len(_FIELDS) - 1)]
        if not line.strip() or (not rows and _is_header(fields)):
            continue
        where = f"{path}, line {number}"
        if len(fields) != len(_FIELDS) or not fields[0]:
            raise DatasetError(f"{where}: expected {_FORM}; received {line!r}.")
        label, media_id, _, start, end = fields
        if not media_id or any(character in media_id for character in "/\\\0"):
            raise DatasetError(
                f"{where}: the VideoID {media_id!r} is not a file name; expected a "
                "name in AVE/ without a folder."
            )
        event = Annotation(
            label, parse_seconds(start, "StartTime", where), parse_seconds(end, "EndTime", where)
        )
        rows.append(_Row(where, media_id, event))
    if not rows:
        raise DatasetError(f"{path} has no rows; expected {_FORM}.")
    return rows


def _is_header(fields: list[str]) -> bool:
    return [field.casefold() for field in fields[:2]] == ["category", "videoid"]
