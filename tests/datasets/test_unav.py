"""UnAV-100: overlapping events, and classes in the order of their published numbers."""

from __future__ import annotations

import json

import numpy as np
import pytest

from avel_tf.datasets import DatasetError, active_classes, load_dataset

# The form of the published file, with two of its classes and one more.
DATABASE = {
    "-Rjmgv0O_p0": {
        "duration": 46,
        "annotations": [
            {"segment": [0, 45.67432], "label": "playing base guitar", "label_id": 2},
            {"segment": [32.715, 43.07432], "label": "female singing", "label_id": 1},
        ],
        "subset": "train",
    },
    "8WSesSOfBrE": {
        "duration": 39,
        "annotations": [{"segment": [0, 39], "label": "sailing", "label_id": 0}],
        "subset": "validation",
    },
}


def write(folder, database=None) -> None:
    content = {"version": "unav100", "database": database or DATABASE}
    (folder / "unav100_annotations.json").write_text(json.dumps(content))


def test_classes_are_in_the_order_of_their_ids(tmp_path) -> None:
    write(tmp_path)
    dataset = load_dataset(tmp_path)
    assert dataset.layout == "unav100"
    assert dataset.labels.names == ("sailing", "female singing", "playing base guitar")
    assert [video.split for video in dataset.videos] == ["train", "validation"]


def test_events_overlap(tmp_path) -> None:
    write(tmp_path)
    dataset = load_dataset(tmp_path / "unav100_annotations.json")
    active = active_classes(dataset.videos[0].annotations, dataset.labels, 46)
    # Middles of seconds from 33.5 to 42.5 lie in both events.
    assert np.flatnonzero(active.sum(axis=1) == 2).tolist() == list(range(33, 43))


def test_videos_lie_where_the_authors_put_them(tmp_path) -> None:
    (tmp_path / "raw_videos").mkdir()
    (tmp_path / "raw_videos" / "8WSesSOfBrE.mp4").touch()
    write(tmp_path)
    path = load_dataset(tmp_path).split("validation")[0].path
    assert path == tmp_path / "raw_videos" / "8WSesSOfBrE.mp4"


def test_contradicting_ids_are_refused(tmp_path) -> None:
    second = {"segment": [1, 2], "label": "sailing", "label_id": 7}
    write(tmp_path, DATABASE | {"x": {"subset": "test", "annotations": [second]}})
    with pytest.raises(DatasetError, match="label_id 7 here and 0 elsewhere"):
        load_dataset(tmp_path)
    second["label"] = "sailing boat"
    second["label_id"] = 0
    write(tmp_path, DATABASE | {"x": {"subset": "test", "annotations": [second]}})
    with pytest.raises(DatasetError, match="same label_id"):
        load_dataset(tmp_path)


def test_a_missing_id_is_refused(tmp_path) -> None:
    write(tmp_path, {"x": {"annotations": [{"segment": [1, 2], "label": "sailing"}]}})
    with pytest.raises(DatasetError, match="expected a number as 'label_id'"):
        load_dataset(tmp_path)
