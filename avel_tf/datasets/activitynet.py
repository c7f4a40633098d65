"""The ActivityNet layout, a JSON file with a `database` of videos, and UnAV-100 in the same form.

Reference:
    Caba Heilbron, Escorcia, Ghanem, Niebles: ActivityNet, CVPR 2015; the format of its
    `activity_net.v1-3.min.json`. Geng, Wang, Duan, Cong, Zheng: Dense-Localizing Audio-Visual
    Events in Untrimmed Videos: A Large-Scale Benchmark and Baseline, CVPR 2023
    (https://arxiv.org/abs/2303.12930).
"""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from avel_tf.datasets.dataset import Annotation, Dataset, DatasetError, Video
from avel_tf.datasets.reading import (
    alphabetical_labels,
    decode_text,
    parse_seconds,
    read_bytes,
    sort_annotations,
)
from avel_tf.datasets.settings import DatasetSettings
from avel_tf.datasets.splits import assign_splits
from avel_tf.events.labels import Labels
from avel_tf.utils.text import did_you_mean
from avel_tf.video.video_files import AmbiguousNameError, VideoFolder

_SUBSETS = {
    "training": "train",
    "validation": "validation",
    "testing": "test",
    "train": "train",
    "val": "validation",
    "test": "test",
}
_SUFFIXES = (".mp4", ".mkv", ".webm", ".mov")
_FORM = '{"database": {id: {"subset", "annotations": [{"segment": [start, end], "label"}]}}}'


def load_activitynet(path: Path, settings: DatasetSettings) -> Dataset:
    """Reads an ActivityNet file.

    The video of an id is its `"path"`, relative to the file, if it has one. Otherwise it is `<id>`
    or `v_<id>` with the suffix mp4, mkv, webm or mov (in this order, before any other), beside the
    file, in `videos/` or in `raw_videos/`.

    Args:
        path: The JSON file.
        settings: Settings of the split, if no video has a subset.

    Returns:
        The data set, in the order of the file; classes in alphabetical order.

    Raises:
        DatasetError: The file is not of this form; the message names the video.
    """
    database = read_database(path)
    folder = path.parent
    places = tuple(VideoFolder(each) for each in (folder, folder / "videos", folder / "raw_videos"))
    subsets: dict[str, str] = {}
    found: dict[str, tuple[Path, str, tuple[Annotation, ...]]] = {}
    for name, entry in database.items():
        where = f"{path}, video {name!r}"
        if not isinstance(entry, dict):
            raise DatasetError(f"{where}: expected an object; received {_short(entry)}.")
        subsets[name] = _subset(entry.get("subset", ""), where)
        found[name] = (*_locate(name, entry, places, where), _annotations(entry, where))
    labels = alphabetical_labels(
        (event.label for _, _, annotations in found.values() for event in annotations), path
    )

    if not any(subsets.values()):
        labels_of: dict[str, set[str]] = {}
        for _, media_id, annotations in found.values():
            labels_of.setdefault(media_id, set()).update(event.label for event in annotations)
        by_media = assign_splits(labels_of, settings)
        subsets = {name: by_media[media_id] for name, (_, media_id, _) in found.items()}
    for name, subset in subsets.items():
        if not subset:
            raise DatasetError(
                f"{path}, video {name!r}: it has no subset, but other videos have one; give one to "
                "all of them, or to none to split them by the seed."
            )
    videos = tuple(
        Video(name, video_path, annotations, subsets[name], media_id)
        for name, (video_path, media_id, annotations) in found.items()
    )
    return Dataset(folder, "activitynet", labels, videos)


def read_database(path: Path) -> dict[str, Any]:
    """Reads the entries of a file without validating them.

    Args:
        path: The JSON file.

    Returns:
        The entries by id.

    Raises:
        DatasetError: It is not JSON, an object has a key twice, or there is no video.
    """

    def without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        entry = dict(pairs)
        if len(entry) < len(pairs):
            keys = [key for key, _ in pairs]
            doubled = next(key for key in keys if keys.count(key) > 1)
            raise DatasetError(f"{path}: {doubled!r} is twice in the same object.")
        return entry

    text = decode_text(read_bytes(path), "latin-1")
    try:
        # Integers as floats: Python refuses to parse integers of more than 4,300 digits.
        content = json.loads(text, object_pairs_hook=without_doubles, parse_int=float)
    except json.JSONDecodeError as error:
        raise DatasetError(f"{path}, line {error.lineno}: not JSON: {error.msg}.") from error
    except RecursionError as error:
        raise DatasetError(f"{path}: nested too deeply; expected {_FORM}.") from error
    database = content.get("database") if isinstance(content, dict) else None
    if not isinstance(database, dict) or not database:
        raise DatasetError(f"{path} has no videos under 'database'; expected {_FORM}.")
    return database


def _locate(
    name: str, entry: dict[str, Any], places: tuple[VideoFolder, ...], where: str
) -> tuple[Path, str]:
    """Finds the file of an id, and the name that identifies the file."""
    beside, videos, *_ = places
    folder = beside.folder
    try:
        if "path" in entry:
            given = entry["path"]
            if not isinstance(given, str) or not given or not _can_name_a_file(given):
                raise DatasetError(
                    f"{where}: 'path' must be the path of a file; received {_short(given)}."
                )
            path = beside.find(given) or Path(os.path.normpath(folder / given))
            inside = path.is_relative_to(folder)
            return path, path.relative_to(folder).as_posix() if inside else path.as_posix()
        if not name or "/" in name or "\\" in name or not _can_name_a_file(name):
            raise DatasetError(
                f"{where}: this id cannot be the name of a file; add a 'path' to the entry."
            )
        for stem in (name, f"v_{name}"):
            for suffix in (*_SUFFIXES, ""):  # without one: any other suffix
                for place in places:
                    if found := place.find(stem + suffix):
                        return found, name
    except AmbiguousNameError as error:
        raise DatasetError(f"{where}: {error}.") from error
    expected = videos.folder if videos.folder.is_dir() else folder
    return expected / f"{name}.mp4", name


def _can_name_a_file(text: str) -> bool:
    try:
        return b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:  # half of a surrogate pair, which JSON allows
        return False


def _subset(value: Any, where: str) -> str:
    if value in ("", None):
        return ""
    if not isinstance(value, str) or value.strip().casefold() not in _SUBSETS:
        raise DatasetError(
            f"{where}: the subset {_short(value)} is unknown; expected training, validation or "
            f"testing.{did_you_mean(str(value), tuple(_SUBSETS))}"
        )
    return _SUBSETS[value.strip().casefold()]


def _annotations(entry: dict[str, Any], where: str) -> tuple[Annotation, ...]:
    listed = entry.get("annotations") or []
    if not isinstance(listed, list):
        raise DatasetError(f"{where}: 'annotations' must be a list; received {_short(listed)}.")
    events = []
    for number, item in enumerate(listed, start=1):
        here = f"{where}, annotation {number}"
        label = item.get("label") if isinstance(item, dict) else None
        segment = item.get("segment") if isinstance(item, dict) else None
        named = isinstance(label, str) and bool(label.strip())
        if not named or not isinstance(segment, list) or len(segment) != 2:
            raise DatasetError(
                f'{here}: expected {{"segment": [start, end], "label": name}}; '
                f"received {_short(item)}."
            )
        start, end = (parse_seconds(str(value), "segment", here) for value in segment)
        events.append(Annotation(str(label).strip(), start, end))
    return sort_annotations(events)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}…"


ANNOTATIONS_FILE = "unav100_annotations.json"


def load_unav(path: Path, settings: DatasetSettings) -> Dataset:
    """Reads UnAV-100, an ActivityNet file in which each annotation has a `label_id` as well.

    Args:
        path: The JSON file, beside its videos or their folder `videos/` or `raw_videos/`.
        settings: Settings of the split, if no video has a subset.

    Returns:
        The data set; classes in the order of `label_id`, as in published features and results.

    Raises:
        DatasetError: The file is not of this form, or the ids contradict each other.
    """
    dataset = load_activitynet(path, settings)
    ids: dict[str, float] = {}
    for name, entry in read_database(path).items():
        for item in entry.get("annotations") or ():
            label, number = item["label"].strip(), item.get("label_id")
            if isinstance(number, bool) or not isinstance(number, int | float):
                raise DatasetError(
                    f"{path}, video {name!r}: expected a number as 'label_id' of {label!r}; "
                    f"received {number!r}. Rename the file to read it as ActivityNet, which has no "
                    "label_id."
                )
            if ids.setdefault(label, number) != number:
                raise DatasetError(
                    f"{path}, video {name!r}: {label!r} has the label_id {number:g} here and "
                    f"{ids[label]:g} elsewhere; a class must have one."
                )
    if len(set(ids.values())) < len(ids):
        raise DatasetError(f"{path}: two classes have the same label_id.")
    labels = Labels(sorted(ids, key=lambda name: ids[name]))
    return replace(dataset, layout="unav100", labels=labels)
