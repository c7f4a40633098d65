"""Measuring embeddings: figures that are known beforehand."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.distill.visual_measure import accuracies, handcrafted, ridge


@pytest.fixture
def labels():
    return np.repeat([f"class {number}" for number in range(5)], 20)


def test_classes_far_apart_are_all_found(labels):
    rng = np.random.default_rng(0)
    centres = np.repeat(rng.normal(0, 5, (5, 16)), 20, axis=0)
    probe, nearest = accuracies(centres + rng.normal(0, 0.1, centres.shape), labels)
    assert probe == nearest == 1.0


def test_noise_is_named_by_chance(labels):
    vectors = np.random.default_rng(0).normal(0, 1, (100, 16))
    probe, nearest = accuracies(vectors, labels)
    assert probe < 0.4 and nearest < 0.4  # chance is 0.2, and 100 draws deviate by 0.04


def test_a_linear_map_is_found_and_only_the_test_is_told():
    rng = np.random.default_rng(0)
    vectors = rng.normal(0, 1, (300, 8))
    target = vectors @ rng.normal(0, 1, (8, 3))
    told = ridge(vectors, target, np.arange(200), np.arange(200, 300))
    assert np.corrcoef(told.ravel(), target[200:].ravel())[0, 1] > 0.98


def test_handcrafted_tells_colours_and_directions():
    stripes = np.zeros((4, 64, 64, 3), np.uint8)
    stripes[0, ::8] = 200
    stripes[1, :, ::8] = 200
    stripes[2, :, ::8, 0] = 200
    stripes[3, 4::8] = 200
    vectors = handcrafted(stripes)
    near = np.linalg.norm(vectors[:, None] - vectors[None], axis=-1)
    assert vectors.dtype == np.float32 and np.isfinite(vectors).all()
    assert near[0, 3] < near[0, 1] and near[1, 2] < near[0, 2]
