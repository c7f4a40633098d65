"""Corrections: kept at once, read by `avel train`, undone."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from avel_tf.datasets import load_dataset
from avel_tf.serving.annotations import Annotations
from tests.serving.running import Running, fake_options, running


@pytest.fixture
def path(fake: Running) -> Iterator[str]:
    """Path of the annotations of a labelled video with one event, a bark from 0 to 3 s."""
    accepted = fake.upload("dog.mp4", b"fine")
    fake.wait(accepted["job"])
    yield f"/api/v1/videos/{accepted['video']}/annotations"


def rows(server: Running, path: str) -> list[tuple]:
    found = server.get(path)["annotations"]
    return [(each["label"], each["start"], each["end"], each["status"]) for each in found]


def test_they_begin_as_the_events_of_the_model(fake: Running, path: str) -> None:
    (row,) = fake.get(path)["annotations"]
    assert row == {
        **{"id": "e0", "label": "Bark", "start": 0.0, "end": 3.0, "score": 0.8},
        **{"status": "predicted", "author": None, "time": None, "predicted": "Bark"},
    }
    assert not fake.get(path.removesuffix("/annotations"))["corrected"]


def test_changes_are_stored_at_once(fake: Running, path: str) -> None:
    change = {"id": "e0", "end": 2.5, "author": "Ada"}
    changed = fake.client.patch(path, json=change).json()
    assert (changed["end"], changed["status"], changed["author"]) == (2.5, "changed", "Ada")
    assert changed["time"]
    added = fake.client.post(path, json={"label": "Meow", "start": 1, "end": 2}).json()
    assert rows(fake, path) == [("Bark", 0, 2.5, "changed"), ("Meow", 1, 2, "added")]
    stored = Annotations(fake.server.folder / "annotations.csv")
    video = path.split("/")[4]
    assert [each.label for each in stored.of(f"uploads/{video}.mp4")] == ["Bark", "Meow"]
    assert fake.get(path.removesuffix("/annotations"))["corrected"]

    assert fake.client.delete(f"{path}?id={added['id']}").status_code == 204
    assert fake.client.delete(f"{path}/e0").status_code == 204
    assert rows(fake, path) == [("Bark", 0, 2.5, "rejected")]
    undone = fake.client.patch(f"{path}/e0", json={"status": "predicted", "end": 3}).json()
    assert (undone["label"], undone["status"], undone["end"]) == ("Bark", "predicted", 3)


def test_accepting_and_relabelling(fake: Running, path: str) -> None:
    assert fake.client.patch(f"{path}/e0", json={"status": "accepted"}).json()["score"] == 0.8
    changed = fake.client.patch(f"{path}/e0", json={"label": " Meow "}).json()
    assert (changed["label"], changed["predicted"], changed["status"]) == (
        "Meow",
        "Bark",
        "changed",
    )
    background = fake.client.patch(f"{path}/e0", json={"status": "background"}).json()
    assert (background["label"], background["status"]) == ("", "background")
    back = fake.client.patch(f"{path}/e0", json={"status": "accepted"}).json()
    assert back["label"] == "Bark"


@pytest.mark.parametrize(
    "body",
    [
        {"label": "a", "start": 2, "end": 2},
        {"label": "a", "start": 2, "end": 1},
        {"label": "a", "start": -1, "end": 1},
        {"label": "a", "start": 0, "end": 5},
        {"label": "a", "start": 0, "end": 1e300},
        {"label": "a", "start": "0", "end": None},
        {"label": "", "start": 0, "end": 1},
        {"label": "Background", "start": 0, "end": 1},
        {"label": "a\nb", "start": 0, "end": 1},
        {"label": "a" * 201, "start": 0, "end": 1},
        {"label": "a", "start": 0, "end": 1, "author": "a\tb"},
        {"label": "a", "start": 0, "end": 1, "status": "accepted"},
        {"label": "a", "start": 0, "end": 1, "x": 1},
        {"start": 0},
    ],
)
def test_invalid_annotations_are_refused(fake: Running, path: str, body: dict) -> None:
    answer = fake.client.post(path, json=body)
    assert answer.status_code == 422 and answer.json()["error"]["message"].endswith(".")
    assert rows(fake, path) == [("Bark", 0, 3, "predicted")]


def test_unknown_annotations_and_videos(fake: Running, path: str) -> None:
    assert fake.client.patch(path, json={"id": "e9", "end": 1}).status_code == 404
    assert fake.client.delete(f"{path}/e9").status_code == 404
    assert fake.client.get("/api/v1/videos/nope/annotations").status_code == 404
    assert fake.client.patch(f"{path}/e0", json={"start": 4}).status_code == 422


def test_parallel_changes_are_all_kept(fake: Running, path: str) -> None:
    def add(number: int) -> int:
        body = {"label": f"class {number}", "start": number / 100, "end": 3}
        return fake.client.post(path, json=body).status_code

    with ThreadPoolExecutor(8) as threads:
        assert set(threads.map(add, range(24))) == {201}
    assert len(rows(fake, path)) == 25
    stored = Annotations(fake.server.folder / "annotations.csv")
    assert len(stored.of(f"uploads/{path.split('/')[4]}.mp4")) == 25


def test_results_take_the_corrections(fake: Running, path: str) -> None:
    fake.client.post(path, json={"label": "Meow", "start": 1, "end": 2})
    fake.client.delete(f"{path}/e0")
    results = path.replace("annotations", "results")
    for corrected, label in ((True, "Meow"), (False, "Bark")):
        answer = fake.client.get(results, params={"format": "vtt", "corrected": corrected})
        assert answer.status_code == 200 and answer.headers["content-type"].startswith("text/vtt")
        assert label in answer.text and "dog.vtt" in answer.headers["content-disposition"]
        assert ("Meow" in answer.text) == corrected


@pytest.mark.slow
def test_avel_train_reads_the_file(folder: Path) -> None:
    with running(fake_options(folder)) as server:
        for name in ("a.mp4", "b.mp4"):
            (folder / "data" / name).write_bytes(b"fine")
            body = {"path": name}
            accepted = server.client.post("/api/v1/videos", json=body).json()
            server.wait(accepted["job"])
            path = f"/api/v1/videos/{accepted['video']}/annotations"
            if name == "a.mp4":
                body = {"label": 'Say "hi", please', "start": 0.5, "end": 1.25}
                server.client.post(path, json=body)
                server.client.patch(f"{path}/e0", json={"status": "accepted"})
            else:
                server.client.delete(f"{path}/e0")
        table = load_dataset(folder / "state")
        assert [video.path.resolve() for video in table.videos] == [
            folder / "data" / "a.mp4",
            folder / "data" / "b.mp4",
        ]
        first, second = (video.annotations for video in table.videos)
        assert [(each.label, each.start, each.end) for each in first] == [
            ("Bark", 0.0, 3.0),
            ('Say "hi", please', 0.5, 1.25),
        ]
        assert not second  # all rejected: background
        with open(folder / "state" / "annotations.csv", newline="") as file:
            statuses = [row["status"] for row in csv.DictReader(file)]
        assert statuses == ["accepted", "added", "rejected"]


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "annotations.csv"
    path.write_text("video,label,start,end\na.mp4,Bark,0,1\n")
    with pytest.raises(ValueError, match="annotations.csv, line 2: this is not a row"):
        Annotations(path)
