from __future__ import annotations

import keras
import numpy as np
from scipy.special import expit, logit

from avel_tf.models.background_gate import STRENGTH, gate_logits, suppress_background
from tests.models.conftest import random_inputs, small_model

VALID = np.ones((2, 5), bool)


def test_joint_verdict_is_the_product_of_both() -> None:
    model = small_model("avel", background_gate=True)
    gates = [model.get_layer(name).output for name in ("audio_gate", "visual_gate")]
    sound, sight, both = keras.Model(model.input, [*gates, gate_logits(model)])(
        random_inputs(VALID)
    )
    product = expit(np.asarray(sound, float)) * expit(np.asarray(sight, float))
    np.testing.assert_allclose(both, logit(product), atol=1e-5)


def test_the_other_modality_decides() -> None:
    """Sound sure of an event strengthens the picture by all, sight sure of none leaves sound."""
    streams = [keras.Input((None, 1), name=name) for name in ("seen", "heard", "visual", "audio")]
    model = keras.Model(streams, suppress_background(*streams))
    for name in ("audio_gate", "visual_gate"):
        model.get_layer(name).set_weights([np.ones((1, 1)), np.zeros(1)])
    one = np.ones((1, 1, 1), "float32")
    seen, heard = model([one, one, -100 * one, 100 * one])
    np.testing.assert_allclose(seen, (1 + STRENGTH) * one, rtol=1e-6)
    np.testing.assert_allclose(heard, one, rtol=1e-6)
