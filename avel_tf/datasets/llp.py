"""The LLP layout (audio-visual video parsing): labels of whole clips, and events by modality.

Reference:
    Tian, Li, Xu: Unified Multisensory Perception: Weakly-Supervised Audio-Visual Video Parsing,
    ECCV 2020 (https://arxiv.org/abs/2007.10558); the format of the `AVVP_*.csv` of its authors.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from avel_tf.datasets.dataset import Annotation, Dataset, DatasetError, Video
from avel_tf.datasets.reading import (
    alphabetical_labels,
    decode_text,
    parse_seconds,
    read_bytes,
    sort_annotations,
)
from avel_tf.utils.text import did_you_mean
from avel_tf.video.video_files import AmbiguousNameError, VideoFolder

SPLIT_FILES = {
    "train": "AVVP_train.csv",
    "validation": "AVVP_val_pd.csv",
    "test": "AVVP_test_pd.csv",
}
EVENT_FILES = ("AVVP_eval_audio.csv", "AVVP_eval_visual.csv")
# The length of every clip of LLP.
CLIP_SECONDS = 10.0

_FOLDERS = ("videos", "video", "LLP_dataset/video", ".")
Spans = dict[tuple[str, str], list[tuple[float, float]]]


def find_llp_files(folder: Path) -> dict[str, Path]:
    """Finds LLP's annotation files.

    Args:
        folder: The folder.

    Returns:
        The existing files by name.
    """
    names = (*SPLIT_FILES.values(), *EVENT_FILES)
    return {name: folder / name for name in names if (folder / name).is_file()}


def load_llp(root: Path) -> Dataset:
    """Reads the LLP data set.

    A split file names the events of a clip, audible or visible, without times: annotations span the
    clip, and the split is among `Dataset.weak_splits`. The event files give the times at which each
    event of validation and test is audible and visible. If both are present, the annotations of
    these splits are the intersections.

    Args:
        root: The folder with the tables. The video of `<id>_<start>_<end>` is a file of that name
            or `<id>`, ending in mp4, in `videos/`, `video/`, `LLP_dataset/video/` or beside them.

    Returns:
        The data set, in the order train, validation, test; classes in alphabetical order.

    Raises:
        DatasetError: A table cannot be read, or a clip is in two splits; with file and line.
    """
    files = find_llp_files(root)
    events = [files[name] for name in EVENT_FILES if name in files]
    if len(events) == 1:
        raise DatasetError(
            f"{root} has only {events[0].name} of {' and '.join(EVENT_FILES)}; an event must be "
            "audible and visible: add the other file, or remove this one to use labels of clips."
        )
    timed = _intersection(*map(_spans, events)) if events else None
    splits = [split for split, name in SPLIT_FILES.items() if name in files]
    if not splits:
        raise DatasetError(
            f"{root} has LLP's event files but no split file; expected "
            f"{', '.join(SPLIT_FILES.values())}."
        )
    weak = frozenset(split for split in splits if split == "train" or timed is None)
    places = [VideoFolder(root / folder) for folder in _FOLDERS]
    videos: dict[str, Video] = {}
    names: list[str] = []
    for split in splits:
        path = files[SPLIT_FILES[split]]
        for line, row in _rows(path, ("filename", "event_labels")):
            clip = row["filename"]
            if clip in videos:
                raise DatasetError(
                    f"{path}, line {line}: {clip!r} is already listed in the split "
                    f"{videos[clip].split!r}; a clip must be in one split."
                )
            labels = [name.strip() for name in row["event_labels"].split(",") if name.strip()]
            names += labels
            if split in weak:
                found = [Annotation(name, 0.0, CLIP_SECONDS) for name in dict.fromkeys(labels)]
            else:
                found = (timed or {}).get(clip, [])
                names += [event.label for event in found]
            media_id = clip.rsplit("_", 2)[0]
            file = _locate(places, clip, media_id, f"{path}, line {line}")
            videos[clip] = Video(clip, file, sort_annotations(found), split, media_id)
    labels_of_all = alphabetical_labels(names, root)
    return Dataset(root, "llp", labels_of_all, tuple(videos.values()), weak_splits=weak)


def _spans(path: Path) -> Spans:
    """Reads the times at which each event of each clip is audible, or visible."""
    spans: Spans = {}
    for line, row in _rows(path, ("filename", "onset", "offset", "event_labels")):
        where = f"{path}, line {line}"
        span = (
            parse_seconds(row["onset"], "onset", where),
            parse_seconds(row["offset"], "offset", where),
        )
        spans.setdefault((row["filename"], row["event_labels"]), []).append(span)
    return spans


def _intersection(audible: Spans, visible: Spans) -> Mapping[str, list[Annotation]]:
    """Intersects the times at which events are audible and visible."""
    found: dict[str, list[Annotation]] = {}
    for clip, label in audible.keys() & visible.keys():
        for audio in audible[clip, label]:
            for video in visible[clip, label]:
                start, end = max(audio[0], video[0]), min(audio[1], video[1])
                if start < end:
                    found.setdefault(clip, []).append(Annotation(label, start, end))
    return found


def _rows(path: Path, columns: tuple[str, ...]) -> Iterator[tuple[int, dict[str, str]]]:
    """Yields the rows of a table whose fields are separated by tabs, with their lines."""
    text = decode_text(read_bytes(path), "latin-1")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter="\t", quoting=csv.QUOTE_NONE)
    header: list[str] = []
    for fields in reader:
        fields = [field.strip() for field in fields]
        if not any(fields):
            continue
        if not header:
            header = fields
            missing = [name for name in columns if name not in header]
            if missing:
                raise DatasetError(
                    f"{path}: the header lacks {', '.join(missing)}; expected "
                    f"{', '.join(columns)}, separated by tabs; received {header!r}."
                    f"{did_you_mean(missing[0], header)}"
                )
            continue
        if len(fields) < len(header) or not fields[header.index("filename")]:
            raise DatasetError(
                f"{path}, line {reader.line_num}: expected {', '.join(header)}, separated by tabs; "
                f"received {fields!r}."
            )
        yield reader.line_num, dict(zip(header, fields, strict=False))
    if not header:
        raise DatasetError(f"{path} is empty; expected a header with {', '.join(columns)}.")


def _locate(places: Sequence[VideoFolder], clip: str, media_id: str, where: str) -> Path:
    try:
        for place in places:
            for name in (clip, media_id):
                if found := place.find(f"{name}.mp4"):
                    return found
    except AmbiguousNameError as error:
        raise DatasetError(f"{where}: {error}.") from error
    return places[0].folder / f"{clip}.mp4"
