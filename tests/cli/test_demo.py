"""avel demo: the whole pipeline from nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from avel_tf.cli import demo
from avel_tf.cli.main import main


@pytest.mark.slow
def test_a_small_demo_makes_all_that_it_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # With this seed, the first ten clips show all classes.
    small = {"SEED": 3, "TRAIN_CLIPS": 10, "VALIDATION_CLIPS": 3, "TEST_CLIPS": 4}
    for name, value in small.items():
        monkeypatch.setattr(demo, name, value)
    monkeypatch.setattr(
        demo, "CONFIGURATION", demo.CONFIGURATION.replace("epochs: 20", "epochs: 2")
    )
    out = tmp_path / "demo"
    out.mkdir()
    for name in (demo.MARKER, "of an earlier demo"):
        (out / name).touch()
    assert main(["demo", "--out", str(out)]) == 0
    assert not (out / "of an earlier demo").exists()
    named = [line.split(": ", 1)[1] for line in capsys.readouterr().out.splitlines()[-2:]]
    assert [Path(each) for each in named] == [out / "index.html", out / "run" / "report.html"]
    page = (out / "index.html").read_text("utf-8")
    results = [
        json.loads(line) for line in (out / "results" / "results.jsonl").read_text().splitlines()
    ]
    assert len(results) == 4
    assert all(Path(each["video"]).name in page for each in results)
    assert {each["status"] for each in results} == {"ok"}
    assert all(len(each["seconds"]) == 10 for each in results)
    assert (out / "audit.html").is_file()
    assert json.loads((out / "run" / "metrics.json").read_text())["videos"] == 4


def test_a_folder_of_others_is_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    assert main(["demo", "--out", str(tmp_path)]) != 0
    assert "was not made by avel demo" in capsys.readouterr().err
    assert [each.name for each in tmp_path.iterdir()] == ["mine.txt"]
