"""Mixup: one share for picture, sound and target."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from avel_tf.features.examples import Batch
from avel_tf.training.augmentation.mixup import mixup
from tests.training.augmentation.batches import key, random_batch


def own_shares(batch: Batch, mixed: Batch) -> np.ndarray:
    """Share and partner of each window, by least squares over all of its features; [B, 2]."""
    flat = [
        np.concatenate([np.reshape(b.visual, (7, -1)), np.reshape(b.audio, (7, -1))], axis=1)
        for b in (batch, mixed)
    ]
    found = []
    for number, row in enumerate(flat[1]):
        best = []
        for partner, other in enumerate(flat[0]):
            if partner != number:
                along = flat[0][number] - other
                share = float((row - other) @ along / (along @ along))
                error = np.abs(row - share * flat[0][number] - (1 - share) * other).max()
                best.append((error, share, partner))
        found.append(min(best))
    return np.array(found)


@settings(max_examples=10)
@given(seed=st.integers(0, 2**40), alpha=st.sampled_from([0.05, 0.4, 1.0, 8.0]))
def test_features_and_targets_are_mixed_by_the_same_share(seed, alpha):
    batch = random_batch(seed=seed % 2**32)
    mixed = mixup(batch, key(seed), alpha=alpha)
    targets = batch.targets.numpy()
    for number, (error, share, partner) in enumerate(own_shares(batch, mixed)):
        if np.array_equal(mixed.visual[number], batch.visual[number]):
            share, partner, error = 1.0, number, 0.0  # its own partner
        assert error < 1e-4 and -1e-4 <= share <= 1 + 1e-4
        expected = share * targets[number] + (1 - share) * targets[int(partner)]
        np.testing.assert_allclose(mixed.targets[number], expected, atol=1e-3)
    np.testing.assert_allclose(mixed.targets.numpy().sum(-1), 1, atol=1e-5)


def test_shares_are_drawn_from_beta():
    batch = random_batch(windows=4000, seconds=1)
    # The partner's target is known where a window of class 0 met one of class 1.
    targets = mixup(batch, key(), alpha=0.4).targets.numpy()[:, 0]  # [B, C+1]
    was = batch.targets.numpy()[:, 0].argmax(-1)
    shares = targets[(was == 0) & (targets[:, 0] + targets[:, 1] > 0.999) & (targets[:, 1] > 0), 0]
    assert len(shares) > 150
    assert stats.kstest(shares, stats.beta(0.4, 0.4).cdf).pvalue > 0.01


def test_the_smallest_alpha_gives_numbers():
    mixed = mixup(random_batch(windows=500), key(), alpha=0.01)
    assert np.isfinite(mixed.visual).all() and np.isfinite(mixed.targets).all()


def test_seconds_that_only_one_window_has_stay_as_they_are():
    batch = random_batch(windows=40, full=False)
    mixed = mixup(batch, key(), alpha=1.0)
    np.testing.assert_array_equal(mixed.valid, batch.valid)
    assert np.isfinite(mixed.visual.numpy()[batch.valid.numpy()]).all()
    changed = (mixed.visual.numpy() != batch.visual.numpy()).all(-1) & batch.valid.numpy()
    assert 0.2 < changed.sum() / batch.valid.numpy().sum() < 0.8  # 0.7 of the partners' are there
    np.testing.assert_array_equal(mixed.targets.numpy()[~changed], batch.targets.numpy()[~changed])


@pytest.mark.parametrize("windows", [1, 2])
def test_small_batches(windows):
    assert mixup(random_batch(windows), key(), alpha=0.2).visual.shape == (windows, 5, 4)
