from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

from avel_tf.models.layers.propagation import PositiveSamplePropagation, similarity
from tests.models.layer_testing import run_layer_test

RNG = np.random.default_rng(0)
VISUAL, AUDIO = RNG.normal(size=(2, 3, 6, 4)).astype("float32")
VALID = np.array([[1, 1, 1, 1, 1, 1], [0, 1, 0, 1, 1, 0], [0, 0, 0, 0, 0, 0]], bool)


def wrapped(**settings: object) -> keras.Model:
    """The layer as a model from a dict of inputs to both streams, one behind the other."""
    inputs = {
        "visual": keras.Input((None, 4), name="visual"),
        "audio": keras.Input((None, 4), name="audio"),
        "valid": keras.Input((None,), dtype="bool", name="valid"),
    }
    layer = PositiveSamplePropagation(4, seed=1, name="propagation", **settings)
    streams = layer(inputs["visual"], inputs["audio"], inputs["valid"])
    return keras.Model(inputs, keras.layers.Concatenate(dtype="float32")([*streams]))


@pytest.mark.slow
def test_layer(tmp_path: Path) -> None:
    run_layer_test(
        wrapped,
        {"visual": VISUAL, "audio": AUDIO, "valid": VALID},
        expected_shape=(3, 6, 8),
        expected_dtype="float32",
        expected_trainable=10,
        tmp_path=tmp_path,
    )


def by_loops(scores: np.ndarray, valid: np.ndarray, threshold: float) -> np.ndarray:
    """The rule of the paper for one clip, pair by pair."""
    seconds = len(valid)
    shares = np.zeros((seconds, seconds))
    for receiver in range(seconds):
        row = [max(scores[receiver, i], 0.0) if valid[i] else 0.0 for i in range(seconds)]
        if not sum(row):
            continue
        row = [value / sum(row) for value in row]
        row = [value if value > threshold / valid.sum() else 0.0 for value in row]
        shares[receiver] = [value / sum(row) if sum(row) else 0.0 for value in row]
    return shares


@pytest.mark.parametrize("threshold", [0.0, 0.99, 2.0, 10.0])
def test_shares_agree_with_plain_loops(threshold: float) -> None:
    layer = PositiveSamplePropagation(4, threshold=threshold)
    scores = RNG.normal(size=(3, 6, 6)).astype("float32")
    found = np.asarray(layer.shares(scores, VALID))
    for clip in range(3):
        np.testing.assert_allclose(
            found[clip], by_loops(scores[clip], VALID[clip], threshold), atol=1e-6
        )


def test_streams_receive_the_weighted_segments() -> None:
    layer = PositiveSamplePropagation(4)
    seen, heard = map(np.asarray, layer(VISUAL, AUDIO, VALID))
    weights = {each.path.split("/")[-2]: np.asarray(each) for each in layer.weights}
    relu = lambda x: np.maximum(x, 0)  # noqa: E731

    def standardised(x: np.ndarray) -> np.ndarray:
        return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-3)

    for clip in range(3):
        v, a = VISUAL[clip], AUDIO[clip]
        scores = relu(v @ weights["visual_match"]) @ relu(a @ weights["audio_match"]).T / 2
        from_audio = by_loops(scores, VALID[clip], 0.99) @ relu(a @ weights["audio_content"])
        from_visual = by_loops(scores.T, VALID[clip], 0.99) @ relu(v @ weights["visual_content"])
        expected = standardised(relu((v + from_audio) @ weights["visual_out"]))
        np.testing.assert_allclose(seen[clip], expected, atol=1e-4)
        expected = standardised(relu((a + from_visual) @ weights["audio_out"]))
        np.testing.assert_allclose(heard[clip], expected, atol=1e-4)


def test_similarity_is_the_cosine_of_the_streams() -> None:
    cosine = np.asarray(similarity((VISUAL, AUDIO)))
    lengths = np.linalg.norm(VISUAL, axis=-1) * np.linalg.norm(AUDIO, axis=-1)
    np.testing.assert_allclose(cosine, (VISUAL * AUDIO).sum(-1) / lengths, atol=1e-5)
    assert (np.asarray(similarity((np.zeros_like(VISUAL), AUDIO))) == 0).all()
