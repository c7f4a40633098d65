from __future__ import annotations

import numpy as np

from avel_tf.layers import BackgroundContrast
from avel_tf.models.layers.contrast import NOISE, SHARE


def test_adds_a_share_of_the_encoded_segment() -> None:
    layer = BackgroundContrast()
    x = np.array([[[1.0, -2.0, 0.5]]], "float32")
    layer(x)
    layer.encoder.set_weights([np.eye(3), np.zeros(3)])
    np.testing.assert_allclose(layer(x)[0], x + SHARE * np.maximum(x, 0), rtol=1e-6)
    noisy = np.asarray(layer(np.full((50, 50, 3), 10.0, "float32"), training=True)[0])
    assert 0.9 * NOISE < noisy.std() / SHARE < 1.1 * NOISE


def test_views_have_length_one_and_differ_in_training_only() -> None:
    layer = BackgroundContrast()
    x = np.random.default_rng(0).normal(size=(2, 5, 16)).astype("float32")
    clear, other = np.moveaxis(np.asarray(layer(x)[1]), 2, 0)
    np.testing.assert_allclose(np.linalg.norm(clear, axis=-1), 1.0, atol=1e-5)
    np.testing.assert_array_equal(clear, other)
    clear, other = np.moveaxis(np.asarray(layer(x, training=True)[1]), 2, 0)
    assert np.abs(clear - other).max() > 1e-4
