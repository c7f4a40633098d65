"""avel evaluate: two models on the same clips, and models that bring what was fitted with them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from avel_tf.cli.main import main
from avel_tf.evaluation.paired import paired_bootstrap
from avel_tf.evaluation.predictions_file import read_predictions
from avel_tf.events.event_postprocessor import EventPostprocessor
from avel_tf.events.postprocessing import Postprocessing
from avel_tf.features.feature_store import FeatureStore, FeatureStoreWriter
from avel_tf.features.features import Features
from tests.conftest import QUICK_TRAINING, as_set


@pytest.fixture(scope="module")
def rival(store, tmp_path_factory) -> Path:
    """A run that hears only, on the same features."""
    folder = tmp_path_factory.mktemp("rival") / "run"
    words = ["train", str(store.folder), "--out", str(folder), *as_set(QUICK_TRAINING)]
    assert main(words) == 0
    return folder


def evaluated(model: Path, data: Path, out: Path, *more: str) -> dict:
    assert main(["evaluate", str(model), str(data), "--out", str(out), *more]) == 0
    return json.loads((out / "metrics.json").read_text())


@pytest.mark.slow
def test_two_models_on_the_same_clips(exported, rival, store, tmp_path, capsys):
    metrics = evaluated(exported, store.folder, tmp_path, "--against", str(rival))
    against = metrics["against"]
    assert against["model"] == str(rival) and against["clips"] == metrics["videos"]
    other = json.loads((rival / "metrics.json").read_text())
    for name, number in against["numbers"].items():
        assert number["ours"] == metrics[name]
        assert number["theirs"] == pytest.approx(other[name])
    # The same from the files that both left behind.
    files = [
        read_predictions(folder / "predictions.jsonl", store.labels) for folder in (tmp_path, rival)
    ]
    found = paired_bootstrap(*files, store.labels)
    assert found["numbers"] == against["numbers"]
    shown = capsys.readouterr().out
    assert f"compared with {rival} on the same 4 clips:" in shown
    assert "segment accuracy:" in shown and "difference" in shown


@pytest.mark.slow
def test_a_model_against_itself(run_folder, exported, store, tmp_path, capsys):
    metrics = evaluated(run_folder, store.folder, tmp_path, "--against", str(exported))
    for number in metrics["against"]["numbers"].values():
        assert number["ci95"] is None or number["ci95"] == [0.0, 0.0] and number["p"] == 1.0
    assert "the same on every clip" in capsys.readouterr().out


@pytest.mark.slow
def test_features_that_fit_one_of_two_only(run_folder, rival, store, tmp_path, capsys):
    other = tmp_path / "other"
    shutil.copytree(rival, other)
    manifest = json.loads((other / "manifest.json").read_text())
    manifest["recipe"]["visual"]["frames_per_second"] = 16
    (other / "manifest.json").write_text(json.dumps(manifest))
    words = ["evaluate", str(run_folder), str(store.folder), "--against", str(other)]
    assert main(words) == 1
    error = capsys.readouterr().err
    assert "16 in" in error and "give the data set instead of the features" in error


def test_what_was_fitted_is_used_and_never_fitted_again(run_folder, store, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(run_folder, run)
    # So long an event that none of these clips has one.
    Postprocessing(2.0, EventPostprocessor(min_seconds=5), "validation", 3).save(run)
    metrics = evaluated(run, store.folder, tmp_path / "out")
    assert metrics["event_f1"] == 0.0
    assert metrics["decoder"]["min_seconds"] == 5
    assert metrics["calibration"]["temperature"] == 2.0
    before = json.loads((run_folder / "metrics.json").read_text())
    assert metrics["confusion"] == before["confusion"]
    assert metrics["plain_events"]["event_f1"] == before["plain_events"]["event_f1"]
    uncalibrated = metrics["calibration"]["uncalibrated"]
    assert uncalibrated["ece"] == pytest.approx(
        before["calibration"]["uncalibrated"]["ece"], abs=1e-5
    )


def test_a_model_of_before_there_was_a_decoder(run_folder, store, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(run_folder, run)
    (run / "decoder.json").unlink()
    metrics = evaluated(run, store.folder, tmp_path / "out")
    assert metrics["decoder"]["fitted_on"] is None
    assert metrics["event_f1"] == metrics["plain_events"]["event_f1"]


@pytest.mark.slow
def test_seconds_that_are_not_there_are_so_for_run_and_export(
    run_folder, exported, store, tmp_path
):
    """Clips that end early: the attention of neither may look behind their end."""
    folder = tmp_path / "features"
    with FeatureStoreWriter(
        folder, recipe=store.recipe, labels=store.labels, layout="ave"
    ) as writer:
        for split in ("train", "validation", "test"):
            rows = [padded(record) for record in store.dataset(split).as_numpy_iterator()]
            writer.write_split(split, rows, expected=len(rows))
    found = [evaluated(model, folder, tmp_path / model.name) for model in (run_folder, exported)]
    scores = [
        np.concatenate([clip.score for clip in read_predictions(path, FeatureStore(folder).labels)])
        for path in (tmp_path / m.name / "predictions.jsonl" for m in (run_folder, exported))
    ]
    np.testing.assert_allclose(*scores, atol=1e-5)
    assert found[0]["confusion"] == found[1]["confusion"]


def padded(record: dict) -> tuple:
    features = Features(record["visual"], record["audio"], record["valid"]).of_length(10)
    # Whatever stands at seconds that are not there, neither may look at it.
    features.visual[4:] = 7.0
    targets = np.concatenate([record["targets"], np.full(6, 3)])
    return record["id"].decode(), features, (), targets
