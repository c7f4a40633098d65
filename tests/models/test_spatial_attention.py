from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
from scipy.special import softmax

from avel_tf.models.layers.spatial_attention import AudioGuidedSpatialAttention
from tests.models.layer_testing import run_layer_test

RNG = np.random.default_rng(0)
MAPS = RNG.normal(size=(2, 3, 2, 3, 5)).astype("float32")
AUDIO = RNG.normal(size=(2, 3, 4)).astype("float32")


def wrapped() -> keras.Model:
    inputs = {
        "maps": keras.Input((None, 2, 3, 5), name="maps"),
        "audio": keras.Input((None, 4), name="audio"),
    }
    found = AudioGuidedSpatialAttention(8, 6)(inputs["maps"], inputs["audio"])
    return keras.Model(inputs, keras.layers.Activation("linear", dtype="float32")(found))


@pytest.mark.slow
def test_layer(tmp_path: Path) -> None:
    run_layer_test(
        wrapped,
        {"maps": MAPS, "audio": AUDIO},
        expected_shape=(2, 3, 5),
        expected_dtype="float32",
        expected_trainable=7,
        tmp_path=tmp_path,
    )


def test_agrees_with_plain_loops() -> None:
    layer = AudioGuidedSpatialAttention(8, 6)
    found = np.asarray(layer(MAPS, AUDIO))
    weights = {tuple(w.path.split("/")[-2:]): np.asarray(w) for w in layer.weights}
    kernel = {name: array for (name, kind), array in weights.items() if kind == "kernel"}
    bias = {name: array for (name, kind), array in weights.items() if kind == "bias"}
    for clip in range(2):
        for second in range(3):
            places = MAPS[clip, second].reshape(6, 5)
            sound = np.maximum(
                AUDIO[clip, second] @ kernel["sound_projection"] + bias["sound_projection"], 0
            )
            scores = []
            for place in places:
                seen = np.maximum(place @ kernel["place_projection"] + bias["place_projection"], 0)
                both = seen @ kernel["place_comparison"] + sound @ kernel["sound_comparison"]
                scores.append(float((np.tanh(both) @ kernel["score"])[0]))
            np.testing.assert_allclose(found[clip, second], softmax(scores) @ places, atol=1e-5)


def test_rows_and_columns_or_places_in_one_row() -> None:
    layer = AudioGuidedSpatialAttention(8)
    expected = layer(MAPS, AUDIO)
    np.testing.assert_allclose(layer(MAPS.reshape(2, 3, 6, 5), AUDIO), expected, atol=1e-6)
    shares = np.asarray(layer.weights_of(MAPS, AUDIO))
    assert shares.shape == (2, 3, 6)
    np.testing.assert_allclose(shares.sum(-1), 1.0, atol=1e-5)


def test_vectors_are_refused() -> None:
    with pytest.raises(ValueError, match=r"Received: shape=\(2, 3, 5\)"):
        AudioGuidedSpatialAttention(8)(MAPS[:, :, 0, 0], AUDIO)
