"""The scripts that newcomers read: all three, one after the other, as their first lines say."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path

import pytest

from avel_tf.events.result import read_results
from tests.conftest import TINY_TRAINING, as_set

ROOT = Path(__file__).resolve().parents[1]


def script(name: str, *words: str | Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [name, *map(str, words)])
        runpy.run_path(str(ROOT / "pipelines" / name), run_name="__main__")


@pytest.mark.slow
def test_train_export_infer(clips, tmp_path):
    run, exported, results = (tmp_path / name for name in ("run", "exported", "results"))
    config = ROOT / "pipelines" / "offline.yaml"
    script("train.py", clips, run, "--config", config, *as_set(TINY_TRAINING))
    assert json.loads((run / "metrics.json").read_text())["videos"] == 4
    script("export.py", run, exported)
    script("infer.py", exported, results, clips / "videos" / "test")
    labelled = list(read_results(results / "results.jsonl"))
    assert [each.status for each in labelled] == ["ok"] * 4
    assert all(each.model == "exported/1" and len(each.seconds) == 4 for each in labelled)


@pytest.mark.slow
def test_train_without_a_validation_split(clips, tmp_path):
    data, run = tmp_path / "data", tmp_path / "run"
    data.mkdir()
    (data / "videos").symlink_to(clips / "videos")
    rows = (clips / "annotations.csv").read_text().splitlines()
    kept = [row for row in rows if "validation" not in row]
    (data / "annotations.csv").write_text("\n".join(kept) + "\n")
    config = ROOT / "pipelines" / "compact.yaml"
    script("train.py", data, run, "--config", config, *as_set(TINY_TRAINING))
    assert json.loads((run / "metrics.json").read_text())["split"] == "test"
