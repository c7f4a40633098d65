from __future__ import annotations

import keras
import numpy as np
from scipy.special import logsumexp

from avel_tf.layers import class_activation_logits
from avel_tf.models.layers.class_activation import pool_class_activation

VALID = np.array([[1, 1, 1, 1], [0, 1, 0, 1], [0, 0, 0, 0]], bool)
RNG = np.random.default_rng(0)


def test_pools_the_valid_segments_of_both_modalities() -> None:
    activations = RNG.normal(size=(2, 3, 4, 5)).astype("float32")
    pooled = np.asarray(pool_class_activation(*activations, VALID))
    for clip in (0, 1):
        parts = [each[clip][VALID[clip]] for each in activations]  # [segments, C]
        expected = np.mean([logsumexp(each, axis=0) - np.log(len(each)) for each in parts], axis=0)
        np.testing.assert_allclose(pooled[clip], expected, atol=1e-5)
    assert (pooled[2] == 0).all()


def test_constant_logits_stay_as_they_are() -> None:
    visual, audio = keras.Input((None, 2)), keras.Input((None, 2))
    valid = keras.Input((None,), dtype="bool")
    model = keras.Model([visual, audio, valid], class_activation_logits(visual, audio, valid, 2))
    for layer in model.layers:
        if layer.name.endswith("class_activation"):
            layer.set_weights([np.eye(2), np.zeros(2)])
    constant = np.tile(np.array([3.0, -1.0], "float32"), (1, 4, 1))
    found = model([constant, constant, np.ones((1, 4), bool)])
    np.testing.assert_allclose(found, constant[:, 0], rtol=1e-5)
