from __future__ import annotations

import keras
import numpy as np

from avel_tf.models.contrast import NOISE, SHARE, contrast_seconds, contrast_views
from tests.models.conftest import random_inputs, small_model

VALID = np.ones((2, 5), bool)


def test_adds_a_share_of_the_encoded_second() -> None:
    seconds = keras.Input((None, 3))
    model = keras.Model(seconds, contrast_seconds(seconds))
    model.get_layer("contrast_encoder").set_weights([np.eye(3), np.zeros(3)])
    x = np.array([[[1.0, -2.0, 0.5]]], "float32")
    np.testing.assert_allclose(model(x), x + SHARE * np.maximum(x, 0), rtol=1e-6)
    disturbed = np.asarray(model(np.full((50, 50, 3), 10.0, "float32"), training=True))
    assert 0.9 * NOISE < disturbed.std() / SHARE < 1.1 * NOISE


def test_views_have_length_one_and_differ_in_training_only() -> None:
    model = small_model("avel", contrast=True)
    views = keras.Model(model.input, contrast_views(model))
    clear, other = np.moveaxis(np.asarray(views(random_inputs(VALID))), 2, 0)
    np.testing.assert_allclose(np.linalg.norm(clear, axis=-1), 1.0, atol=1e-5)
    np.testing.assert_array_equal(clear, other)
    clear, other = np.moveaxis(np.asarray(views(random_inputs(VALID), training=True)), 2, 0)
    assert np.abs(clear - other).max() > 1e-4
