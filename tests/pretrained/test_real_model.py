"""The model that really comes with the package."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from avel_tf import pretrained
from avel_tf.embeddings.compact import NAME
from avel_tf.events.result import read_results
from avel_tf.export.exported_model import ExportedModel
from avel_tf.export.manifest import read_manifest

MOST_BYTES = 21_000_000


def test_it_is_whole_small_and_on_our_own_backbones():
    model = pretrained.find_pretrained()
    assert ExportedModel(model).mismatches() == []
    assert sum(path.stat().st_size for path in model.rglob("*") if path.is_file()) < MOST_BYTES
    recipe = read_manifest(model)["recipe"]
    assert recipe["visual"]["module"] == recipe["audio"]["module"] == NAME


def test_what_it_offers_is_above_the_bar_and_its_pages_say_so():
    manifest = read_manifest(pretrained.find_pretrained())
    montage = manifest[pretrained.MEASURED]["montage"]
    figures = (pretrained.FOLDER / "figures.md").read_text(encoding="utf-8")
    assert f"Segment accuracy {montage['segment_accuracy']:.3f}" in figures
    assert list(montage["per_class"]) and set(montage["per_class"]) == set(manifest["labels"])
    card = pretrained.MODEL_CARD.read_text(encoding="utf-8")
    readme = (Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")
    for name, row in montage["per_class"].items():
        assert row["precision"] >= 0.6 and row["recall"] >= 0.6
        assert f"| {name} | {row['support']} | {row['precision']:.2f}" in figures
        assert name in card and name in readme
    for name, reason in manifest[pretrained.MEASURED]["dropped"].items():
        assert f"| {name} | {reason} |" in figures


@pytest.mark.slow
def test_a_video_is_labelled_with_no_model_named(clips: Path, tmp_path: Path):
    video = next(clips.glob("videos/test/*.mp4"))
    words = ["infer", str(video), "--out", str(tmp_path / "results")]
    done = subprocess.run(
        [sys.executable, "-m", "avel_tf.cli", *words],
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    assert all(line in done.stdout for line in pretrained.describe(pretrained.find_pretrained()))
    (result,) = read_results(tmp_path / "results" / "results.jsonl")
    assert result.status == "ok" and result.model == "pretrained/1"


@pytest.mark.slow
def test_a_real_dog_barks(shared: Path, tmp_path: Path):
    import avel_tf

    result = avel_tf.load().localize(shared / "clips" / "vas" / "dog" / "video_02754.mp4")
    assert "Bark" in {second.label for second in result.seconds}
