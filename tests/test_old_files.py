"""Files that version 0.1 wrote, loaded by the present code; tests/data/README.md describes them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

OLD = Path(__file__).parent / "data" / "version-0.1"
# Other processors round differently.
TOLERANCE = 1e-4
RUNS = [
    pytest.param("run", "store-maps", "expected", id="maps"),
    pytest.param(
        "run-multi-label", "store", "expected-multi-label", id="labels", marks=pytest.mark.slow
    ),
    pytest.param(
        "run-propagation", "store", "expected-propagation", id="propagation", marks=pytest.mark.slow
    ),
    pytest.param(
        "run-baseline", "store", "expected-baseline", id="baseline", marks=pytest.mark.slow
    ),
]


def assert_same(found: Any, expected: Any, where: str = "metrics") -> None:
    """Every value of the old file is there and equal; new keys may have been added."""
    if isinstance(expected, dict):
        for key, value in expected.items():
            assert_same(found[key], value, f"{where}.{key}")
    elif isinstance(expected, list):
        assert len(found) == len(expected), where
        for index, (one, other) in enumerate(zip(found, expected, strict=True)):
            assert_same(one, other, f"{where}[{index}]")
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, abs=TOLERANCE), where
    else:
        assert found == expected, where


@pytest.mark.parametrize(("run", "store", "expected"), RUNS)
def test_an_old_run_has_its_old_metrics(
    run: str, store: str, expected: str, tmp_path: Path
) -> None:
    from avel_tf.cli.main import main

    words = ["evaluate", str(OLD / run), str(OLD / store), "--split", "test"]
    assert main([*words, "--out", str(tmp_path)]) == 0
    found = json.loads((tmp_path / "metrics.json").read_text())
    assert_same(found, json.loads((OLD / f"{expected}.json").read_text()))


def test_an_old_store_is_read() -> None:
    from avel_tf.features.feature_store import FeatureStore

    store = FeatureStore(OLD / "store")
    assert [store.count(split) for split in ("train", "validation", "test")] == [6, 2, 3]
    assert list(store.labels) == ["Bark", "Church bell"]
    for record in store.dataset("train").as_numpy_iterator():
        assert record["visual"].shape == (4, 6) and record["audio"].shape == (4, 3)
        assert np.isfinite(record["visual"]).all() and record["valid"].all()


def test_an_old_results_folder_converts_and_resumes(tmp_path: Path) -> None:
    from avel_tf.events.formats import write_formats
    from avel_tf.events.result import read_results

    old = OLD / "results" / "results.jsonl"
    written = write_formats(["jsonl", "csv", "vtt"], read_results(old), tmp_path / "anew")
    assert written["jsonl"].read_bytes() == old.read_bytes()
    assert written["csv"].read_bytes() == (OLD / "results" / "results.csv").read_bytes()
    for subtitles in (OLD / "results" / "vtt").rglob("*.vtt"):
        twin = written["vtt"] / subtitles.relative_to(OLD / "results" / "vtt")
        assert twin.read_bytes() == subtitles.read_bytes()


def test_an_old_model_and_journal_give_the_old_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from avel_tf.cli.main import main
    from avel_tf.events.result import read_results

    results = tmp_path / "results"
    shutil.copytree(OLD / "results", results)
    (results / "results.jsonl").unlink()
    for video in (OLD / "clips").rglob("*.mp4"):
        copy = tmp_path / "clips" / "videos" / video.relative_to(OLD / "clips")
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(video, copy)
    shutil.copytree(OLD / "model", tmp_path / "model")
    monkeypatch.chdir(tmp_path)
    videos = sorted(str(each.relative_to(tmp_path)) for each in (tmp_path / "clips").rglob("*.mp4"))
    settings = ["--engine", "tensorflow", "--set", "engine.precision=float32"]
    # The copies have other times than the files that the journal saw, so all are done again.
    assert main(["infer", *videos, "--model", "model", "--out", "results", *settings]) == 0
    again = list(read_results(results / "results.jsonl"))
    assert [each.video for each in again] == videos
    for found, expected in zip(again, read_results(OLD / "results" / "results.jsonl"), strict=True):
        assert (found.video, found.status) == (expected.video, "ok")
        assert found.duration == expected.duration
        assert [each.label for each in found.seconds] == [each.label for each in expected.seconds]
        scores = [[each.score for each in result.seconds] for result in (found, expected)]
        # Decoders of other versions differ in the last bits of a pixel.
        np.testing.assert_allclose(*scores, atol=1e-3)


@pytest.mark.slow
def test_an_old_run_can_be_resumed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from avel_tf.cli.main import main

    shutil.copytree(OLD / "run", tmp_path / "run")
    config = tmp_path / "run" / "config.yaml"
    words = ["train", str(OLD / "store-maps"), "--out", str(tmp_path / "run"), "--resume"]
    words += ["--config", str(config)]
    assert main(words) == 1  # the default of a setting that the run did not have
    advice = f"Resume with --config {config} --set model.clip_evidence=false, or"
    assert advice in capsys.readouterr().err
    assert main([*words, "--set", "model.clip_evidence=false"]) == 0
    found = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert_same(found, json.loads((OLD / "run" / "metrics.json").read_text()))
