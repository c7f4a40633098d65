"""Annotations that change after features were made or a training run began."""

from __future__ import annotations

import csv
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from avel_tf.cli.main import main
from avel_tf.datasets import load_dataset, segment_labels
from avel_tf.features.annotation_changes import annotation_changes, relabel
from avel_tf.features.feature_store import FeatureStore
from avel_tf.training.run import Run
from tests.conftest import COMPACT_SETTINGS, QUICK_TRAINING, as_set

Rows = list[dict[str, str]]


@pytest.fixture
def data(clips: Path, tmp_path: Path) -> Path:
    """The data set `clips` with annotations that a test may change."""
    folder = tmp_path / "data"
    folder.mkdir()
    shutil.copy(clips / "annotations.csv", folder)
    (folder / "videos").symlink_to(clips / "videos")
    return folder


@pytest.fixture
def features(store: FeatureStore, data: Path, tmp_path: Path) -> Path:
    """A copy of `store` that says it was made of `data`."""
    folder = Path(shutil.copytree(store.folder, tmp_path / "features"))
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["source"] = {"path": str(data), "dataset": {}}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def edit(data: Path, change: Callable[[Rows], Rows]) -> None:
    path = data / "annotations.csv"
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    names = list(rows[0])
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(change(rows))


def correct(rows: Rows) -> Rows:
    """Another class for the first event."""
    place = next(n for n, row in enumerate(rows) if row["label"])
    other = next(row["label"] for row in rows if row["label"] not in ("", rows[place]["label"]))
    rows[place]["label"] = other
    return rows


def new_class(rows: Rows) -> Rows:
    place = next(n for n, row in enumerate(rows) if row["label"])
    rows[place]["label"] = "Accordion"
    return rows


def add(rows: Rows) -> Rows:
    return [*rows, {**rows[0], "video": "videos/new.mp4"}]


def remove(rows: Rows) -> Rows:
    return [row for row in rows if row["video"] != rows[0]["video"]]


def move(rows: Rows) -> Rows:
    split = next(row["split"] for row in rows if row["split"] != rows[0]["split"])
    return [{**row, "split": split} if row["video"] == rows[0]["video"] else row for row in rows]


def train(data: Path, run: Path, *more: str) -> int:
    settings = as_set((*COMPACT_SETTINGS, *QUICK_TRAINING, "training.epochs=1"))
    return main(["train", str(data), "--out", str(run), *settings, *more])


@pytest.fixture(scope="module")
def finished(clips: Path, store: FeatureStore, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on `clips` that found its features already made."""
    run = tmp_path_factory.mktemp("finished") / "run"
    shutil.copytree(store.folder, run / "features")
    assert train(clips, run, "--resume") == 0
    return run


NEEDS_FEATURES = [
    (add, "1 video added (videos/new.mp4)"),
    (remove, "removed"),
    (move, "another split"),
]
LABELS = [(correct, "1 video with other labels"), (new_class, "classes added: Accordion")]


@pytest.mark.parametrize(("change", "said"), [*NEEDS_FEATURES, *LABELS])
def test_features_of_changed_annotations_are_refused(
    data, features, tmp_path, capsys, change, said
):
    edit(data, change)
    assert train(features, tmp_path / "run") == 1
    error = capsys.readouterr().err
    assert said in error and f"avel extract {data} --out {features}" in error
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("change", "said"), NEEDS_FEATURES)
def test_a_run_is_not_resumed_on_other_videos(data, store, tmp_path, capsys, change, said):
    run = tmp_path / "run"
    shutil.copytree(store.folder, run / "features")
    edit(data, change)
    assert train(data, run, "--resume") == 1
    error = capsys.readouterr().err
    assert said in error and "another folder (--out)" in error
    assert FeatureStore(run / "features").digests == store.digests


@pytest.mark.slow
def test_the_same_annotations_keep_features_and_run(data, finished, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    before = os.stat(run / "features").st_ino, (run / "checkpoint" / "state.npz").read_bytes()
    assert train(data, run, "--resume") == 0
    assert before == (
        os.stat(run / "features").st_ino,
        (run / "checkpoint" / "state.npz").read_bytes(),
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "said"), [LABELS[0], pytest.param(*LABELS[1], marks=pytest.mark.slow)]
)
def test_corrected_labels_keep_features_and_train_anew(
    data, finished, tmp_path, capsys, change, said
):
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    checkpoint = run / "checkpoint" / "state.npz"
    before = checkpoint.read_bytes()
    edit(data, change)
    assert train(data, run, "--resume") == 0
    shown = capsys.readouterr().out
    assert said in shown and "training starts anew" in shown and "epoch   1 of 1" in shown
    assert checkpoint.read_bytes() != before
    dataset = load_dataset(data)
    assert Run(run).labels == dataset.labels == FeatureStore(run / "features").labels


@pytest.mark.slow
def test_a_run_is_not_resumed_on_features_with_other_labels(data, features, tmp_path, capsys):
    run = tmp_path / "run"
    # Features are taken also if the data set that they were made of is absent.
    elsewhere = data.rename(tmp_path / "elsewhere")
    assert train(features, run) == 0
    elsewhere.rename(data)
    edit(data, correct)
    relabel(FeatureStore(features), load_dataset(data))
    assert train(features, run, "--resume") == 1
    assert "began with other features or labels" in capsys.readouterr().err


def test_labels_written_anew_are_those_of_an_extraction(data, store, features):
    # With the same labels: the same bytes.
    assert relabel(FeatureStore(features), load_dataset(data)).digests == store.digests
    edit(data, new_class)
    dataset = load_dataset(data)
    assert annotation_changes(FeatureStore(features), dataset).labels_only
    again = relabel(FeatureStore(features), dataset)
    assert not annotation_changes(again, dataset) and again.labels == dataset.labels
    videos = {video.id: video for video in dataset.videos}
    for split in ("train", "validation", "test"):
        for old, new in zip(
            store.dataset(split).as_numpy_iterator(),
            again.dataset(split).as_numpy_iterator(),
            strict=True,
        ):
            assert old["id"] == new["id"] and (old["visual"] == new["visual"]).all()
            expected = videos[new["id"].decode()].annotations
            assert (new["targets"] == segment_labels(expected, dataset.labels, 4)).all()
