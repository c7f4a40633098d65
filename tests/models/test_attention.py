from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

from avel_tf.models import attention_model, attention_names, load_model
from tests.models.conftest import random_inputs, small_model
from tests.processes import bfloat16_crashes

NAMES = {
    "avel": {
        "visual_self_attention",
        "audio_self_attention",
        "visual_to_audio_attention",
        "audio_to_visual_attention",
    },
    "bi_avatt": {"audio_to_visual_attention"},
    "bi_vaatt": {"visual_to_audio_attention"},
    "audio_only": {"audio_self_attention"},
    "visual_only": {"visual_self_attention"},
}
VALID = np.array([[1, 1, 1, 1, 1], [0, 1, 0, 1, 0], [0, 0, 0, 0, 0]], bool)


def test_names(model: keras.Model) -> None:
    assert set(attention_names(model)) == NAMES[model.name]


def test_rows_are_shares_of_the_valid_seconds(model: keras.Model) -> None:
    weights = attention_model(model)(random_inputs(VALID))
    assert set(weights) == NAMES[model.name]
    for array in map(np.asarray, weights.values()):
        assert array.shape == (3, 2, 5, 5) and array.dtype == np.float32
        assert (array >= 0).all()
        np.testing.assert_allclose(array[:2].sum(axis=-1), 1.0, atol=1e-5)
        assert (array[2] == 0).all()
        assert (array[1][..., ~VALID[1]] == 0).all()
        assert (array[1][..., VALID[1]] > 0).all()


def test_queries_come_first() -> None:
    """Audio queries the picture: a changed sound changes its own second's row and no other."""
    model = small_model("bi_avatt")
    look = attention_model(model, ["audio_to_visual_attention"])
    inputs = random_inputs(np.ones((1, 4), bool))
    inputs["audio"] = inputs["audio"] / 100
    before = np.asarray(look(inputs)["audio_to_visual_attention"])
    inputs["audio"][:, 2] *= -1
    moved = np.abs(np.asarray(look(inputs)["audio_to_visual_attention"]) - before).max(axis=(0, 1))
    assert moved[2].max() > 1e-4
    assert (moved[[0, 1, 3]] == 0).all()


def test_works_on_a_loaded_model_and_shares_weights(tmp_path: Path) -> None:
    model, inputs = small_model("avel"), random_inputs(VALID)
    model.save(tmp_path / "model.keras")
    loaded = load_model(tmp_path / "model.keras")
    look = attention_model(loaded)
    expected = attention_model(model)(inputs)
    for name, array in look(inputs).items():
        np.testing.assert_array_equal(array, expected[name])
    assert {id(w) for w in look.weights} <= {id(w) for w in loaded.weights}


@pytest.mark.skipif(bfloat16_crashes(), reason="TensorFlow has no bfloat16 under this limit")
def test_half_precision_weights_come_as_float32() -> None:
    previous = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        weights = attention_model(small_model("bi_vaatt"))(random_inputs(VALID))
    finally:
        keras.config.set_dtype_policy(previous)
    array = np.asarray(weights["visual_to_audio_attention"])
    assert array.dtype == np.float32
    np.testing.assert_allclose(array[:2].sum(axis=-1), 1.0, atol=2e-2)


def test_wrong_name_is_refused() -> None:
    with pytest.raises(ValueError, match="no attention layer 'audio_visual'"):
        attention_model(small_model("bi_avatt"), ["audio_visual"])


def test_model_without_attention_is_refused() -> None:
    plain = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)], name="plain")
    with pytest.raises(ValueError, match="'plain' has no attention layer"):
        attention_model(plain)
