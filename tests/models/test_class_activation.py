from __future__ import annotations

import keras
import numpy as np
from scipy.special import logsumexp

from avel_tf.models.class_activation import WEIGHT, activation_logits, class_evidence
from tests.models.conftest import random_inputs, small_model

VALID = np.array([[1, 1, 1, 1], [0, 1, 0, 1], [0, 0, 0, 0]], bool)


def test_pools_the_valid_seconds_of_both_modalities() -> None:
    model = small_model("avel", class_activation=True)
    names = ("visual_class_activation", "audio_class_activation")
    outputs = [*(model.get_layer(name).output for name in names), activation_logits(model)]
    *activations, pooled = keras.Model(model.input, outputs)(random_inputs(VALID))
    for clip in (0, 1):
        parts = [np.asarray(each)[clip][VALID[clip]] for each in activations]  # [seconds, C]
        expected = np.mean([logsumexp(each, axis=0) - np.log(len(each)) for each in parts], axis=0)
        np.testing.assert_allclose(pooled[clip], expected, atol=1e-5)
    assert (np.asarray(pooled)[2] == 0).all()


def test_evidence_is_a_share_of_it() -> None:
    seen, heard = keras.Input((None, 2)), keras.Input((None, 2))
    valid = keras.Input((None,), dtype="bool")
    model = keras.Model([seen, heard, valid], class_evidence(seen, heard, valid, 2))
    for layer in model.layers:
        if layer.name.endswith("class_activation"):
            layer.set_weights([np.eye(2), np.zeros(2)])
    constant = np.tile(np.array([3.0, -1.0], "float32"), (1, 4, 1))
    evidence = model([constant, constant, np.ones((1, 4), bool)])
    np.testing.assert_allclose(evidence, WEIGHT * constant[:, 0], rtol=1e-5)
