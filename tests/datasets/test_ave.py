"""The AVE layout."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from avel_tf.datasets import (
    SPLITS,
    Annotation,
    Dataset,
    DatasetError,
    DatasetSettings,
    load_dataset,
    segment_labels,
)
from avel_tf.events.labels import AVE_CLASSES

TRAIN = "Bark&aaa&good&0&10\nChurch bell&-bb&good&2&5\n"
VALIDATION = "Church bell&ccc&good&0&3\n"
TEST = "Bark&ddd&good&1&10\n"


def write(folder: Path, train=TRAIN, validation=VALIDATION, test=TEST, every=None) -> Path:
    files = {"trainSet.txt": train, "valSet.txt": validation, "testSet.txt": test}
    files["Annotations.txt"] = train + validation + test if every is None else every
    for name, content in files.items():
        if content:
            raw = content if isinstance(content, bytes) else content.encode("utf-8")
            (folder / name).write_bytes(raw)
    return folder


def test_reads_rows_splits_and_label_order(tmp_path) -> None:
    dataset = load_dataset(write(tmp_path))
    assert dataset.layout == "ave" and dataset.root == tmp_path
    assert dataset.labels.names == ("Bark", "Church bell")
    assert [video.id for video in dataset.split("train")] == ["aaa", "-bb"]
    (video,) = dataset.split("test")
    assert video.path == tmp_path / "AVE" / "ddd.mp4"
    assert video.annotations == (Annotation("Bark", 1.0, 10.0),)
    with pytest.raises(ValueError, match="no split 'val'; .* Did you mean 'validation'"):
        dataset.split("val")


def test_a_video_of_another_container_is_found(tmp_path) -> None:
    (tmp_path / "AVE").mkdir()
    for name in ("aaa.webm", "-bb.MP4", "ddd.mp4", "ddd.mkv"):
        (tmp_path / "AVE" / name).write_bytes(b"x")
    names = {video.id: video.path.name for video in load_dataset(write(tmp_path)).videos}
    assert names == {"aaa": "aaa.webm", "-bb": "-bb.MP4", "ccc": "ccc.mp4", "ddd": "ddd.mp4"}


def same(first: Dataset, second: Dataset) -> bool:
    return (first.labels, first.videos) == (second.labels, second.videos)


HEADER = "Category&VideoID&Quality&StartTime&EndTime\n"


@pytest.mark.parametrize(
    "train",
    [
        HEADER + TRAIN,
        TRAIN.replace("\n", "\r\n"),
        "\n" + TRAIN.replace("\n", "\n\n") + "  \n",
        "\ufeff" + HEADER + TRAIN,
        TRAIN.rstrip("\n"),
        TRAIN.replace("&", " & "),
    ],
)
def test_copies_that_were_saved_differently_read_alike(tmp_path, train: str) -> None:
    for name in ("plain", "other"):
        (tmp_path / name).mkdir()
    plain = load_dataset(write(tmp_path / "plain"))
    other = load_dataset(write(tmp_path / "other", train, every=train + "\n" + VALIDATION + TEST))
    assert [v.annotations for v in plain.videos] == [v.annotations for v in other.videos]
    assert [v.id for v in plain.videos] == [v.id for v in other.videos]
    assert plain.labels == other.labels


@pytest.mark.parametrize("encoding", ["latin-1", "utf-8"])
def test_latin_1_and_utf_8(tmp_path, encoding: str) -> None:
    rows = ("Crème brûlée (frying)&aaa&good&0&10\n" * 2).encode(encoding)
    dataset = load_dataset(write(tmp_path, rows, rows, rows, rows))
    assert dataset.labels.names == ("Crème brûlée (frying)",)
    assert len(dataset.videos) == 6


def test_a_class_with_an_ampersand(tmp_path) -> None:
    row = "Rock & roll&aaa&good&0&10\n"
    assert load_dataset(write(tmp_path, row, row, row)).labels.names == ("Rock & roll",)


def test_any_of_the_files_stands_for_the_folder(tmp_path) -> None:
    whole = load_dataset(write(tmp_path))
    for name in ("Annotations.txt", "testSet.txt"):
        assert same(load_dataset(tmp_path / name), whole)


def test_file_names_in_other_capitals(tmp_path) -> None:
    write(tmp_path)
    (tmp_path / "Annotations.txt").rename(tmp_path / "annotations.txt")
    assert load_dataset(tmp_path).labels.names == ("Bark", "Church bell")


def test_without_annotations_txt_the_classes_are_aves_own(tmp_path) -> None:
    dataset = load_dataset(write(tmp_path, every=""))
    assert dataset.labels.names == AVE_CLASSES


def test_without_split_files_the_rows_are_split_by_file(tmp_path) -> None:
    rows = "".join(f"Bark&id{n // 2}&good&{n % 2}&10\n" for n in range(40))
    dataset = load_dataset(write(tmp_path, "", "", "", rows))
    assert [len(dataset.split(name)) for name in SPLITS] == [28, 6, 6]
    for name in {video.media_id for video in dataset.videos}:
        assert len({video.split for video in dataset.videos if video.media_id == name}) == 1


def test_rows_of_one_file_are_examples_of_their_own(tmp_path) -> None:
    dataset = load_dataset(write(tmp_path, TRAIN + "Church bell&aaa&good&3&4\n"))
    first, _, third = dataset.split("train")
    assert (first.id, third.id) == ("aaa", "aaa#2")
    assert first.media_id == third.media_id == "aaa" and first.path == third.path
    assert [len(video.annotations) for video in dataset.videos] == [1] * 5


def test_a_row_without_length_is_all_background(tmp_path) -> None:
    dataset = load_dataset(write(tmp_path, "Bark&aaa&good&0&0\n"))
    (video,) = dataset.split("train")
    assert segment_labels(video.annotations, dataset.labels, 3).tolist() == [2, 2, 2]


@pytest.mark.parametrize(
    ("train", "sentence"),
    [
        ("Bark&aaa&good&0\n", r"trainSet.txt, line 1: expected Category&.*; received 'Bark&aaa"),
        ("\nBark&aaa&good&x&9\n", "trainSet.txt, line 2: the StartTime 'x' is not a number"),
        ("Bark&aaa&good&0&nan\n", "the EndTime 'nan' is not a number"),
        ("Bark&aaa&good&0&inf\n", "the EndTime 'inf' is not a number"),
        ("bark&aaa&good&0&9\n", "line 1: 'bark' is not one of the 2 .* Did you mean 'Bark'"),
        ("Bark&../x&good&0&9\n", "the VideoID '../x' is not a file name"),
        ("&aaa&good&0&9\n", "line 1: expected Category"),
        (HEADER, "trainSet.txt has no rows"),
    ],
)
def test_errors_name_file_line_and_text(tmp_path, train: str, sentence: str) -> None:
    folder = write(tmp_path, train, every="Bark&aaa&good&0&9\nChurch bell&b&good&0&9\n")
    with pytest.raises(DatasetError, match=sentence):
        load_dataset(folder)


def test_a_missing_split_file(tmp_path) -> None:
    with pytest.raises(DatasetError, match=r"only some of AVE's split files; missing: valSet\.txt"):
        load_dataset(write(tmp_path, validation=""))


def test_a_class_that_cannot_be_one(tmp_path) -> None:
    with pytest.raises(DatasetError, match=r"Annotations\.txt: 'background' cannot be an event"):
        load_dataset(write(tmp_path, every="background&aaa&good&0&9\n"))


def background_share(dataset: Dataset, split: str) -> float:
    targets = [segment_labels(v.annotations, dataset.labels, 10) for v in dataset.split(split)]
    return float((np.stack(targets) == dataset.labels.background).mean())


def test_the_real_files(shared) -> None:
    dataset = load_dataset(shared / "ave")
    assert dataset.labels.names == AVE_CLASSES
    assert [len(dataset.split(name)) for name in SPLITS] == [3339, 402, 402]
    assert len({video.id for video in dataset.videos}) == 4143
    assert len({video.media_id for video in dataset.videos}) == 4097
    assert background_share(dataset, "test") == pytest.approx(0.178, abs=5e-4)
    held = {name: {v.media_id for v in dataset.split(name)} for name in SPLITS}
    assert len(held["train"] & held["test"]) == 8
    assert len(held["train"] & held["validation"]) == 10
    empty = [v for v in dataset.videos if v.annotations[0].end == 0]
    assert [(v.media_id, v.split) for v in empty] == [("VWi2ENBuTbw", "train")]


def test_the_real_files_without_leaks(shared) -> None:
    official = load_dataset(shared / "ave")
    dataset = load_dataset(shared / "ave", DatasetSettings(deleaked=True))
    # 18 files leak; one of them has two rows in train.
    assert [len(dataset.split(name)) for name in SPLITS] == [3320, 402, 402]
    assert dataset.split("test") == official.split("test")
    held = [{v.media_id for v in dataset.split(name)} for name in SPLITS]
    assert not held[0] & held[1] and not held[0] & held[2] and not held[1] & held[2]
    assert set(dataset.videos) < set(official.videos)
