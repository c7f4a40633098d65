"""Annotations of other tools: results out, edited, in."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avel_tf.cli.main import main
from avel_tf.datasets.dataset import DatasetError
from avel_tf.datasets.importers import IMPORTERS, import_annotations
from avel_tf.datasets.load import load_dataset
from avel_tf.events.event import Event
from avel_tf.events.formats import write_formats
from avel_tf.events.formats.text import label_text
from avel_tf.events.result import Result

RESULTS = [
    Result("videos/dog.mp4", "ok", None, 10.0, (), (Event("Bark", 1, 3, 0.9),)),
    Result("videos/quiet.mp4", "ok", None, 5.0),
    Result("videos/cat.mp4", "ok", None, 9.5, (), (Event("Cat, meow", 0, 2.345, 0.8),)),
]
# Raven has no row for a file without events.
LISTS_QUIET_VIDEOS = sorted(set(IMPORTERS) - {"raven"})


def spans(table: Path) -> dict[str, list[tuple[str, float, float]]]:
    return {
        video.id: [(each.label, each.start, each.end) for each in video.annotations]
        for video in load_dataset(table).videos
    }


@pytest.mark.parametrize("name", IMPORTERS)
def test_results_out_edited_and_in_again(tmp_path: Path, name: str) -> None:
    path = write_formats([name], RESULTS, tmp_path)[name]
    files = [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]
    for each in files:  # the correction of a person
        each.write_text(each.read_text("utf-8").replace("Bark", "Howl"), "utf-8")
    out = tmp_path / "annotations.csv"
    assert main(["import", str(path), "--from", name, "--out", str(out)]) == 0
    expected = {
        "videos/dog.mp4": [("Howl", 1.0, 3.0)],
        "videos/quiet.mp4": [],
        "videos/cat.mp4": [("Cat, meow", 0.0, 2.345)],
    }
    if name not in LISTS_QUIET_VIDEOS:
        del expected["videos/quiet.mp4"]
    assert spans(out) == expected


labels = st.one_of(
    st.text(min_size=1, max_size=20),
    st.sampled_from(["-->", "<b>", '"', 'a""b', "\t", ";=#\\", "x" * 1000, "1.5", "& &amp;"]),
)


@pytest.mark.parametrize("name", ["audacity", "dcase", "eaf", "raven", "textgrid"])
@settings(max_examples=25, deadline=None, derandomize=True, database=None)
@given(label=labels, start=st.integers(0, 9_000_000), length=st.integers(1, 10_000))
def test_hostile_labels_come_back(name: str, label: str, start: int, length: int) -> None:
    event = Event(label, start / 1000, (start + length) / 1000, 0.5)
    with tempfile.TemporaryDirectory() as folder:
        result = Result("a.mp4", "ok", None, None, (), (event,))
        path = write_formats([name], [result], folder)[name]
        videos = import_annotations(path, name, Path(folder) / "annotations.csv")
    ((found,),) = videos.values()
    assert (found.label, found.start, found.end) == (label_text(label), event.start, event.end)


def test_corrections_of_label_studio_replace_predictions(tmp_path: Path) -> None:
    path = write_formats(["labelstudio"], RESULTS[:1], tmp_path)["labelstudio"]
    (task,) = json.loads(path.read_text())
    (region,) = task["predictions"][0]["result"]
    corrected = {**region, "value": {"start": 1.5, "end": 4, "labels": ["Howl", "Bark"]}}
    task["annotations"] = [{"result": [corrected]}, {"was_cancelled": True, "result": []}]
    path.write_text(json.dumps([task]))
    out = tmp_path / "annotations.csv"
    import_annotations(path, "labelstudio", out)
    assert spans(out) == {"videos/dog.mp4": [("Bark", 1.5, 4.0), ("Howl", 1.5, 4.0)]}
    region["type"] = "timelinelabels"
    path.write_text(
        json.dumps([{"data": {"video": "a.mp4"}, "annotations": [{"result": [region]}]}])
    )
    with pytest.raises(DatasetError, match="count frames"):
        import_annotations(path, "labelstudio", out)


@pytest.mark.parametrize("name", IMPORTERS)
@pytest.mark.parametrize("content", ["{}", "no format at all", "<a/>", "[1]", '"ooTextFile"'])
def test_other_files_are_refused_or_empty(tmp_path: Path, name: str, content: str) -> None:
    path = tmp_path / "file"
    path.write_text(content)
    if name == "eaf" and content == "<a/>":
        assert import_annotations(path, name, tmp_path / "out.csv") == {"file": []}
        return
    with pytest.raises(DatasetError, match="file"):
        import_annotations(path, name, tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()


def test_an_unknown_format_has_a_suggestion(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="Did you mean 'textgrid'"):
        import_annotations(tmp_path, "TextGrids", tmp_path / "out.csv")
    with pytest.raises(DatasetError, match="neither a file nor a folder with .eaf files"):
        import_annotations(tmp_path, "eaf", tmp_path / "out.csv")


def test_convert_writes_from_the_lines(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    write_formats(["jsonl"], RESULTS, tmp_path / "results")
    out = tmp_path / "out"
    assert main(["convert", str(tmp_path / "results"), "--to", "eaf,raven", "--out", str(out)]) == 0
    assert (out / "results.raven.txt").is_file()
    assert (out / "eaf/videos/quiet.mp4.eaf").is_file()
    assert not (out / "results.jsonl").exists()
    assert main(["convert", str(tmp_path), "--to", "eaf", "--out", str(out)]) == 1
    assert "There is no file" in capsys.readouterr().err
    assert main(["convert", str(tmp_path), "--to", "textgird", "--out", str(out)]) == 1
    assert "Did you mean 'textgrid'" in capsys.readouterr().err
