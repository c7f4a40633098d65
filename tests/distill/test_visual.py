"""Distilling pictures: views, one step of learning, and a killed run that goes on."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from avel_tf.embeddings.compact import visual_network
from pipelines.distill.visual_corpus import crop, look, resized
from tests.processes import bfloat16_crashes

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def views(tmp_path):
    """Two passes over forty pictures, and a teacher that tells how red and how green each is."""
    folder = tmp_path / "views"
    folder.mkdir()
    rng = np.random.default_rng(0)
    (folder / "classes.txt").write_text("a/green\na/red\n")
    for number in range(2):
        pictures = rng.integers(0, 255, (40, 80, 80, 3), dtype=np.uint8)
        labels = np.arange(40, dtype=np.int16) % 3 - 1
        pictures[labels == 1, ..., 0] = 255
        features = pictures.mean((1, 2))[:, :2] / 255.0
        probabilities = np.eye(2)[(features[:, 0] > features[:, 1]).astype(int)]
        np.savez(
            folder / f"view-{number}.npz", pictures=pictures, labels=labels,
            features=features.astype(np.float16), probabilities=probabilities.astype(np.float16),
        )  # fmt: skip
    return folder


@pytest.fixture
def picture():
    return np.random.default_rng(1).integers(0, 255, (48, 64, 3), dtype=np.uint8)


def test_crop_lies_in_the_picture(picture):
    rng = np.random.default_rng(2)
    for _ in range(50):
        part = crop(picture, rng)
        assert min(part.shape[:2]) >= 16
        rows = np.lib.stride_tricks.sliding_window_view(picture, part.shape)
        assert (rows == part).all((-1, -2, -3)).any()


def test_views_follow_the_seed_and_mark_a_lost_class(picture):
    other = np.zeros_like(picture)
    first, second = (
        [look(picture, other, np.random.default_rng(seed)) for seed in range(60)] for _ in range(2)
    )
    for (one, pure), (same, _) in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, same)
        assert one.dtype == np.uint8 and one.shape[2] == 3
        if pure:  # nothing of the black picture
            assert not (resized(one, 16) == 0).all(-1).any()
    assert {pure for _, pure in first} == {True, False}


@pytest.mark.slow
@pytest.mark.skipif(bfloat16_crashes(), reason="TensorFlow has no bfloat16 under this limit")
def test_a_run_that_was_ended_goes_on(views, tmp_path):
    run = tmp_path / "run"
    minutes = 1e-4  # a single step
    for _ in range(2):
        command = [sys.executable, "-m", "pipelines.distill.visual", str(views), str(run)]
        done = subprocess.run(
            [*command, "--minutes", str(minutes), "--threads", "1", "--batch", "4"],
            cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
            timeout=600,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        with np.load(run / "state.npz") as state:
            minutes = float(state["seconds"]) / 60 + 1e-4  # one more
    with open(run / "log.csv", newline="") as file:
        steps = [int(row["step"]) for row in csv.DictReader(file)]
    assert len(steps) == 2 and 0 < steps[0] < steps[1]
    network = visual_network()
    with np.load(run / "weights.npz") as found:
        weights = [found[name] for name in sorted(found.files)]
    assert [w.shape for w in weights] == [w.shape for w in network.get_weights()]
    assert all(np.isfinite(w).all() for w in weights)
