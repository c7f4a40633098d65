"""avel train: folders that are left alone, runs that go on, several seeds."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from avel_tf.cli.main import main
from avel_tf.events.postprocessing import Postprocessing
from avel_tf.training.run import Run
from tests.conftest import COMPACT_SETTINGS, QUICK_TRAINING, as_set


def words(data: Path, out: Path, *more: str) -> list[str]:
    settings = as_set(COMPACT_SETTINGS + QUICK_TRAINING)
    return ["train", str(data), "--out", str(out), *settings, *more]


def weights_of(folder: Path) -> list[np.ndarray]:
    return Run(folder).model().get_weights()


@pytest.fixture(scope="module")
def whole(store, tmp_path_factory) -> Path:
    """A run without an interruption."""
    folder = tmp_path_factory.mktemp("train") / "whole"
    assert main(words(store.folder, folder)) == 0
    return folder


@pytest.mark.slow
def test_a_run_that_is_killed_resumes_exactly(store, whole, tmp_path):
    """By the command alone: SIGKILL when it has told of its first epoch."""
    run = tmp_path / "run"
    process = subprocess.Popen(
        [sys.executable, "-m", "avel_tf.cli", *words(store.folder, run)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    for line in process.stdout:
        if line.startswith("epoch   1 of 2"):
            process.send_signal(signal.SIGKILL)
            break
    assert process.wait() == -signal.SIGKILL
    assert not (run / "metrics.json").exists()
    assert main(words(store.folder, run, "--resume")) == 0
    for name in ("history.csv", "metrics.json", "config.yaml", "manifest.json"):
        assert (run / name).read_bytes() == (whole / name).read_bytes()
    for one, other in zip(weights_of(run), weights_of(whole), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_run_is_never_trained_over(store, whole, capsys):
    before = (whole / "history.csv").read_bytes()
    assert main(words(store.folder, whole)) == 1
    assert "holds a training run. Continue it with --resume" in capsys.readouterr().err
    assert (whole / "history.csv").read_bytes() == before


@pytest.mark.parametrize("change", ["training.learning_rate=0.5", "training.seed=1"])
def test_a_run_does_not_go_on_with_other_settings(store, whole, capsys, change):
    assert main(words(store.folder, whole, "--resume", "--set", change)) == 1
    error = capsys.readouterr().err
    assert "began with other settings" in error and str(whole / "config.yaml") in error


@pytest.mark.slow
def test_a_run_goes_on_with_the_settings_that_lie_in_it(store, whole, capsys):
    command = ["train", str(store.folder), "--out", str(whole), "--resume"]
    assert main([*command, "--config", str(whole / "config.yaml")]) == 0


@pytest.mark.slow
def test_a_run_of_before_augmentation_goes_on(store, whole, tmp_path, capsys):
    """By its settings, not by their text, and with another share of the machine."""
    run = tmp_path / "run"
    shutil.copytree(whole, run)
    began = yaml.safe_load((run / "config.yaml").read_text())
    del began["training"]["augmentation"], began["training"]["supervision"]
    (run / "config.yaml").write_text(yaml.safe_dump(began))
    command = words(store.folder, run, "--resume")
    mixup = ["--set", "training.augmentation.mixup=0.2"]
    assert main([*command, *mixup]) == 1
    assert "training.augmentation.mixup: 0.0 then, 0.2 now" in capsys.readouterr().err
    same = as_set(["training.augmentation.mixup=0", "training.memory_gb=2.5"])
    assert main([*command, *same]) == 0
    assert "memory_gb: 2.5" in (run / "config.yaml").read_text()


@pytest.mark.slow
def test_weak_supervision_is_measured_by_the_second_all_the_same(store, tmp_path, capsys):
    run = tmp_path / "run"
    assert main(words(store.folder, run, "--supervision", "weak")) == 0
    assert re.search(
        r"epoch   2 of 2: .*accuracy of clips 0\.\d+.*accuracy of clips", capsys.readouterr().out
    )
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["segments"] == 16 and 0 <= metrics["segment_accuracy"] <= 1
    assert "supervision: weak" in (run / "config.yaml").read_text()
    # Neither temperature nor thresholds are fitted: that takes labels of seconds.
    assert Postprocessing.load(run) == Postprocessing()


def test_a_supervision_that_is_none(store, tmp_path, capsys):
    assert main(words(store.folder, tmp_path / "run", "--supervision", "week")) == 1
    assert "one of full, weak. Received: 'week'. Did you mean 'weak'?" in capsys.readouterr().err


def test_a_folder_of_something_else_is_left_alone(store, tmp_path, capsys):
    (tmp_path / "thesis.tex").write_text("years of work")
    assert main(words(store.folder, tmp_path)) == 1
    assert "exists and is not a training run" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.slow
def test_from_videos_and_over_what_a_killed_extraction_left(clips, whole, tmp_path):
    run = tmp_path / "run"
    (run / ".features.123.partial").mkdir(parents=True)
    assert main(words(clips, run)) == 0
    for one, other in zip(weights_of(run), weights_of(whole), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.slow
def test_several_seeds(store, whole, tmp_path, capsys):
    run = tmp_path / "run"
    assert main(words(store.folder, run, "--seeds", "2")) == 0
    single = [json.loads((run / f"seed-{s}" / "metrics.json").read_text()) for s in (0, 1)]
    both = json.loads((run / "metrics.json").read_text())
    accuracies = [metrics["segment_accuracy"] for metrics in single]
    assert both["segment_accuracy"] == pytest.approx(np.mean(accuracies))
    weights = [weights_of(run / f"seed-{seed}") for seed in (0, 1)]
    assert any(not np.array_equal(a, b) for a, b in zip(*weights, strict=True))

    # The run itself is the seed that was best on validation, and can be measured and exported.
    def best(folder: Path) -> float:
        with open(folder / "history.csv", newline="") as table:
            return max(float(row["val_segment_accuracy"]) for row in csv.DictReader(table))

    chosen = max((0, 1), key=lambda seed: best(run / f"seed-{seed}"))
    for one, other in zip(weights_of(run), weights[chosen], strict=True):
        np.testing.assert_array_equal(one, other)
    assert Run(run).labels == store.labels
    assert main(["evaluate", str(run), str(store.folder)]) == 0
    shown = capsys.readouterr().out
    assert re.search(r"^seed 0:.*^seed 1:", shown, re.MULTILINE | re.DOTALL)
    # Going on with a finished run changes nothing.
    assert main(words(store.folder, run, "--seeds", "2", "--resume")) == 0
    assert json.loads((run / "metrics.json").read_text()) == both


@pytest.mark.parametrize("seeds", ["0", "-1"])
def test_no_seed_at_all(store, tmp_path, capsys, seeds):
    assert main(words(store.folder, tmp_path / "run", "--seeds", seeds)) == 1
    assert f"(--seeds) must be at least 1. Received: {seeds}" in capsys.readouterr().err


def test_the_model_is_the_one_that_was_asked_for(store, whole, capsys, tmp_path):
    assert Run(whole).model().name == "audio_only"
    assert main(words(store.folder, tmp_path / "run", "--model", "bi_avat")) == 1
    assert "Did you mean 'bi_avatt'?" in capsys.readouterr().err
