"""The ActivityNet layout."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from avel_tf.datasets import SPLITS, Annotation, DatasetError, load_dataset


def entry(subset: str | None = "training", *events: tuple[float, float, str], **more: Any) -> dict:
    annotations = [{"segment": [start, end], "label": label} for start, end, label in events]
    found = {"duration": 9.5, "annotations": annotations, **more}
    return found if subset is None else {"subset": subset, **found}


def write(folder: Path, database: object, name: str = "activity_net.json") -> Path:
    path = folder / name
    path.write_text(json.dumps({"version": "1.3", "database": database}))
    return path


def test_reads_events_subsets_and_files(tmp_path) -> None:
    (tmp_path / "videos").mkdir()
    for name in ("videos/one.mkv", "v_two.mp4", "elsewhere.mp4"):
        (tmp_path / name).touch()
    write(
        tmp_path,
        {
            "one": entry("training", (5, 7.5, "dog"), (1, 2, "Cat")),
            "two": entry("validation", (0, 1, "dog")),
            "three": entry("testing"),
            "four": entry("test", (0, 1, "dog"), path="elsewhere.mp4"),
        },
    )
    dataset = load_dataset(tmp_path)
    assert dataset.layout == "activitynet"
    assert dataset.labels.names == ("Cat", "dog")
    one, two, three, four = dataset.videos
    assert one.annotations == (Annotation("Cat", 1, 2), Annotation("dog", 5, 7.5))
    assert [v.split for v in dataset.videos] == ["train", "validation", "test", "test"]
    assert one.path == tmp_path / "videos" / "one.mkv"
    assert two.path == tmp_path / "v_two.mp4"
    assert three.path == tmp_path / "videos" / "three.mp4" and not three.annotations
    assert four.path == tmp_path / "elsewhere.mp4" and four.media_id == "elsewhere.mp4"
    assert load_dataset(tmp_path / "activity_net.json") == dataset


def test_short_names_of_subsets(tmp_path) -> None:
    names = {"a": "train", "b": "val", "c": "test", "d": "Validation"}
    write(tmp_path, {key: entry(subset, (0, 1, "dog")) for key, subset in names.items()})
    assert [v.split for v in load_dataset(tmp_path).videos] == [*SPLITS, "validation"]


def test_without_subsets_the_files_are_split_by_a_seed(tmp_path) -> None:
    database = {f"{n}": entry(None, (0, 1, "dog"), path=f"{n // 2}.mp4") for n in range(40)}
    dataset = load_dataset(write(tmp_path, database))
    assert [len(dataset.split(name)) for name in SPLITS] == [28, 6, 6]
    for first, second in zip(dataset.videos[::2], dataset.videos[1::2], strict=True):
        assert first.split == second.split


DOG = (0, 1, "dog")


@pytest.mark.parametrize(
    ("database", "sentence"),
    [
        ({}, "has no videos under 'database'"),
        ([], "has no videos under 'database'"),
        ({"a": 3}, "video 'a': expected an object; received 3"),
        ({"a": entry("tests", DOG)}, "the subset 'tests' is unknown"),
        ({"a": entry("trainin", DOG)}, "Did you mean 'training'"),
        ({"a": entry("train", DOG), "b": entry(None, DOG)}, "video 'b': it has no subset"),
        ({"a": entry("train", (0, None, "dog"))}, "annotation 1: the segment 'None' is not a num"),
        ({"a": entry("train", (0, True, "dog"))}, "the segment 'True' is not a number"),
        ({"a": entry("train", (0, 10**400, "dog"))}, "the segment 'inf' is not a number"),
        ({"a": entry("train", DOG, (0, 1, ""))}, "annotation 2: expected .*'label': ''"),
        ({"a": entry("train", annotations=[{"segment": [1], "label": "x"}])}, "annotation 1: exp"),
        ({"a": entry("train", annotations=["x"])}, "annotation 1: expected .* received 'x'"),
        ({"a": entry("train", annotations={"x": 1})}, "'annotations' must be a list"),
        ({"a": entry("train", DOG, path=7)}, "'path' must be the path of a file; received 7.0"),
        ({"a": entry("train", DOG, path="\ud800")}, "'path' must be the path"),
        ({"../a": entry("train", DOG)}, "cannot be the name of a file; add a 'path'"),
        ({"a\0": entry("train", DOG)}, "cannot be the name of a file"),
        ({"a": entry("train")}, "has no event"),
        ({"a": entry("train", (0, 1, "background"))}, "'background' cannot be an event class"),
    ],
)
def test_errors_name_file_and_video(tmp_path, database, sentence: str) -> None:
    path = write(tmp_path, database)
    with pytest.raises(DatasetError, match=sentence) as caught:
        load_dataset(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('{"database": {\n"a": }', r"line 2: not JSON: Expecting value"),
        ('{"database": {"a": {}, "a": {}}}', "'a' is twice"),
        ('{"database": ' + "[" * 200_000, "nested too deeply|not JSON"),
        ("[]", "has no videos under 'database'"),
    ],
)
def test_files_that_are_not_of_this_form(tmp_path, text: str, sentence: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(DatasetError, match=sentence):
        load_dataset(path)
