"""The folder of a training run."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from avel_tf.config import load_config
from avel_tf.features.feature_store import FeatureStore
from avel_tf.training.run import Run, probabilities_of
from tests.conftest import COMPACT_SETTINGS, TINY_TRAINING


def test_what_avel_train_wrote(run_folder, store):
    run = Run(run_folder)
    assert run.labels == store.labels
    assert run.recipe == store.recipe
    (run_folder.parent / "config.yaml").write_text(run.config_yaml)
    settings = load_config(run_folder.parent / "config.yaml")
    asked = load_config(None, COMPACT_SETTINGS + TINY_TRAINING)
    # Of the embeddings stands there what the features were made by, spelled out.
    assert replace(settings, embeddings=asked.embeddings) == asked
    assert settings.embeddings.visual.module == "compact"
    assert run.metrics["split"] == "test" and run.metrics["videos"] == 4
    names = {path.name for path in run_folder.iterdir()}
    wanted = {"config.yaml", "model.keras", "labels.txt", "history.csv", "metrics.json"}
    assert wanted | {"manifest.json", "tensorboard", "plots"} <= names


def test_labels_have_background_last(run_folder, store):
    lines = (run_folder / "labels.txt").read_text().splitlines()
    assert lines == [*store.labels.names, "background"]


def test_its_model_gives_probabilities(run_folder, store):
    predict = probabilities_of(Run(run_folder).model())
    record = next(store.dataset("test").as_numpy_iterator())
    found = predict(*(record[name][None] for name in ("visual", "audio", "valid")))
    assert found.shape == (1, 4, len(store.labels) + 1) and found.dtype == np.float32
    np.testing.assert_allclose(found.sum(-1), 1.0, atol=1e-5)


def test_metrics_are_those_of_the_model_on_the_test_split(run_folder, store):
    """Counted again by hand."""
    predict = probabilities_of(Run(run_folder).model())
    right = total = 0
    for record in FeatureStore(store.folder).dataset("test").as_numpy_iterator():
        found = predict(*(record[name][None] for name in ("visual", "audio", "valid")))[0]
        right += int((found.argmax(-1) == record["targets"]).sum())
        total += len(record["targets"])
    metrics = json.loads((run_folder / "metrics.json").read_text())
    assert metrics["segments"] == total == 16
    assert metrics["segment_accuracy"] == pytest.approx(right / total)
    assert np.sum(metrics["confusion"]) == total


@pytest.mark.parametrize("missing", ["model.keras", "labels.txt", "config.yaml", "manifest.json"])
def test_an_unfinished_run_is_named(run_folder, tmp_path, missing):
    folder = tmp_path / "run"
    shutil.copytree(run_folder, folder, ignore=shutil.ignore_patterns(missing))
    with pytest.raises(ValueError, match=f"run is not a finished training run: {missing}"):
        Run(folder)


def test_a_damaged_manifest_is_named(run_folder, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(run_folder, folder)
    for text in ("{", "[]", "{}", '{"recipe": {"visual": {}}}'):
        (folder / "manifest.json").write_text(text)
        with pytest.raises(ValueError, match=r"manifest .*manifest\.json is damaged"):
            Run(folder)


def test_a_run_that_was_not_measured_has_no_metrics(run_folder, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(run_folder, folder, ignore=shutil.ignore_patterns("metrics.json"))
    assert Run(folder).metrics is None
