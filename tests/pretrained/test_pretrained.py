"""What happens when no model is named."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import avel_tf
from avel_tf import pretrained
from avel_tf.cli.main import main
from avel_tf.events.result import read_results
from avel_tf.export.exported_model import ExportedModel
from avel_tf.export.manifest import ModelError

# Nothing to prove first, as the fastest engine would have to be.
QUICK = ("--engine", "tensorflow", "--set", "engine.precision=float32")


def said(text: str) -> None:
    """Every fact that a run has to state."""
    assert "the classes Bark; Church bell; Helicopter;" in text
    assert "82% of 3000 seconds correct (all background: 55%)" in text
    assert "40 real clips: 14 of 22 seconds of its classes correct" in text
    assert "a false alarm in 21 of 298 other seconds" in text
    assert "the 22 of them that are also unknown to its backbones: 9 of 16, and 12 of 157" in text
    assert str(pretrained.MODEL_CARD) in text


def test_infer_takes_it_and_says_what_it_knows(stand_in, clips, tmp_path, capsys):
    video = next(clips.glob("videos/test/*.mp4"))
    for _ in range(2):  # on every run, also when there is nothing left to do
        assert main(["infer", str(video), "--out", str(tmp_path / "results"), *QUICK]) == 0
        said(capsys.readouterr().out)
    (result,) = read_results(tmp_path / "results" / "results.jsonl")
    assert result.model == "shipped/1" and len(result.seconds) == 4


@pytest.mark.slow
def test_another_model_is_not_spoken_for(stand_in, exported, clips, tmp_path, capsys):
    video = next(clips.glob("videos/test/*.mp4"))
    words = ["infer", str(video), "--model", str(exported), "--out", str(tmp_path / "results")]
    assert main([*words, *QUICK]) == 0
    assert "the pretrained one" not in capsys.readouterr().out


def test_load_without_a_name(stand_in):
    assert avel_tf.load().model.folder == stand_in


def test_its_absence_is_said_with_what_to_do(tmp_path, monkeypatch, clips, capsys):
    monkeypatch.setattr(pretrained, "FOLDER", tmp_path / "none")
    out = tmp_path / "results"
    assert main(["infer", str(clips), "--out", str(out)]) == 1
    error = capsys.readouterr().err
    assert "--model SAVED_MODEL" in error and "docs/design/pretrained.md" in error
    assert not out.exists()
    with pytest.raises(ModelError, match="--model SAVED_MODEL"):
        avel_tf.load()


def test_a_model_that_does_not_say_how_well_it_did_is_refused(stand_in):
    path = stand_in / "assets" / "manifest.json"
    manifest = json.loads(path.read_text())
    del manifest[pretrained.MEASURED]["real_clips"]
    path.write_text(json.dumps(manifest))
    with pytest.raises(ModelError, match="lacks the measured accuracy"):
        pretrained.describe(stand_in)


def test_what_it_says_is_sealed(stand_in):
    assert ExportedModel(stand_in).mismatches() == []
    path = stand_in / "assets" / "manifest.json"
    path.write_text(path.read_text().replace("0.815", "0.915"))
    assert ExportedModel(stand_in).mismatches() == ["the manifest is not the one that was exported"]


def test_looking_for_it_loads_no_tensorflow():
    code = (
        "import sys, avel_tf.pretrained as s\n"
        "try: s.find_pretrained()\n"
        "except s.ModelError: pass\n"
        "assert 'tensorflow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=600)
