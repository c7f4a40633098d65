from __future__ import annotations

import keras
import numpy as np
from scipy.special import expit, logit

from avel_tf.layers import suppress_background
from avel_tf.models.layers.background_gate import STRENGTH, joint_gate_logits


def test_joint_logit_is_that_of_the_product() -> None:
    audio, visual = np.random.default_rng(0).normal(size=(2, 2, 5, 1)).astype("float32")
    product = expit(audio.astype(float)) * expit(visual.astype(float))
    np.testing.assert_allclose(joint_gate_logits(audio, visual), logit(product), atol=1e-5)


def test_each_modality_is_scaled_by_the_other() -> None:
    """Audio is certain of an event, visual of none."""
    streams = [keras.Input((None, 1)) for _ in range(4)]
    model = keras.Model(streams, suppress_background(*streams))
    for name in ("audio_gate", "visual_gate"):
        model.get_layer(name).set_weights([np.ones((1, 1)), np.zeros(1)])
    one = np.ones((1, 1, 1), "float32")
    visual, audio = model([one, one, -100 * one, 100 * one])
    np.testing.assert_allclose(visual, (1 + STRENGTH) * one, rtol=1e-6)
    np.testing.assert_allclose(audio, one, rtol=1e-6)
