"""Noise that is as strong as the features are."""

from __future__ import annotations

import numpy as np
import pytest

from avel_tf.training.augmentation.feature_noise import feature_noise
from tests.training.augmentation.batches import key, random_batch


def test_noise_follows_the_deviations():
    batch = random_batch(windows=2000)
    deviations = {
        "visual_deviation": np.array([1, 2, 4, 0], "float32"),
        "audio_deviation": np.array([8, 0.5], "float32"),
    }
    changed = feature_noise(batch, key(), strength=0.5, **deviations)
    for name in ("visual", "audio"):
        noise = (getattr(changed, name) - getattr(batch, name)).numpy()
        wanted = 0.5 * deviations[f"{name}_deviation"]
        np.testing.assert_allclose(noise.std((0, 1)), wanted, rtol=0.05, atol=1e-6)
        np.testing.assert_allclose(noise.mean((0, 1)), 0, atol=0.15)
    pictures, sound = (changed.visual - batch.visual)[..., 0], (changed.audio - batch.audio)[..., 0]
    assert np.corrcoef(np.ravel(pictures), np.ravel(sound))[0, 1] == pytest.approx(0, abs=0.05)
