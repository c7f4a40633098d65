from __future__ import annotations

import csv
from pathlib import Path

from avel_tf.datasets import load_dataset
from avel_tf.events.event import Event
from avel_tf.events.formats import write_formats
from avel_tf.events.formats.csv import COLUMNS, FORMULA_STARTS
from avel_tf.events.result import Result
from avel_tf.utils.text import valid_unicode
from tests.events.formats.samples import hostile_results


def write_csv(results: list[Result], folder: Path) -> Path:
    return write_formats(["csv"], results, folder)["csv"]


def rows_of(path: Path) -> list[dict[str, str]]:
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, strict=True))


def test_a_row_per_event_and_every_video(tmp_path: Path) -> None:
    rows = rows_of(write_csv(hostile_results(), tmp_path))
    results = hostile_results()
    assert len(rows) == sum(max(1, len(result.events)) for result in results)
    # Taking one apostrophe away gives the original, always.
    videos = {row["video"].removeprefix("'") for row in rows if row["video"][0] == "'"} | {
        row["video"] for row in rows if row["video"][0] != "'"
    }
    assert videos == {valid_unicode(result.video) for result in results}


def test_no_cell_is_a_formula(tmp_path: Path) -> None:
    cells = [
        cell for row in rows_of(write_csv(hostile_results(), tmp_path)) for cell in row.values()
    ]
    assert not [cell for cell in cells if cell.startswith(FORMULA_STARTS)]
    assert "'=1+1" in cells
    assert "'-video-with-dash-.mp4" in cells
    assert "''quoted'.mp4" in cells


def test_bytes_are_those_of_rfc_4180(tmp_path: Path) -> None:
    event = Event("Cat, meow", 1, 2.5, 2 / 3)
    results = [
        Result('a "b".mp4', "ok", None, 10, (), (event,), "demo/1"),
        Result("c.mp4", "quarantined", "It is empty."),
    ]
    assert write_csv(results, tmp_path).read_bytes() == (
        b"video,label,start,end,score,status,reason,duration,model\r\n"
        b'"a ""b"".mp4","Cat, meow",1.000,2.500,0.666667,ok,,10.000,demo/1\r\n'
        b"c.mp4,,,,,quarantined,It is empty.,,\r\n"
    )
    assert list(rows_of(tmp_path / "results.csv")[0]) == list(COLUMNS)


def test_what_was_found_can_be_trained_on(tmp_path: Path) -> None:
    events = (Event("Bark", 0, 2, 0.9), Event("Cat, meow", 4, 5, 0.8))
    results = [Result("a.mp4", "ok", None, 10.0, (), events), Result("b.mp4", "ok", None, 5.0)]
    write_csv(results, tmp_path).rename(tmp_path / "annotations.csv")
    dataset = load_dataset(tmp_path)
    assert {
        video.path.name: [(event.label, event.start, event.end) for event in video.annotations]
        for video in dataset.videos
    } == {"a.mp4": [("Bark", 0, 2), ("Cat, meow", 4, 5)], "b.mp4": []}
