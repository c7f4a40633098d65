from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
from sklearn.preprocessing import StandardScaler

from avel_tf.models import FeatureNormalization, fit_normalization
from tests.models.conftest import AUDIO_WIDTH, VISUAL_WIDTH, small_model
from tests.models.layer_testing import run_layer_test

ROWS = np.random.default_rng(0).normal(40.0, 3.0, (50, 6)).astype("float32")


def fitted(rows: np.ndarray) -> FeatureNormalization:
    layer = FeatureNormalization()
    layer.build((None, rows.shape[1]))
    layer.fit(rows)
    return layer


def test_layer(tmp_path: Path) -> None:
    run_layer_test(
        FeatureNormalization,
        ROWS.reshape(5, 10, 6),
        expected_shape=(5, 10, 6),
        expected_dtype="float32",
        expected_trainable=0,
        tmp_path=tmp_path,
    )


def test_agrees_with_scikit_learn() -> None:
    np.testing.assert_allclose(fitted(ROWS)(ROWS), StandardScaler().fit_transform(ROWS), atol=1e-4)


def test_constant_feature_becomes_zero_even_where_it_moves() -> None:
    rows = ROWS.copy()
    rows[:, 2] = 0.1  # not exact in float32, so its variance is rounding noise
    moved = rows.copy()
    moved[:, 2] = 7.0
    scaled = np.asarray(fitted(rows)(moved))
    assert (scaled[:, 2] == 0).all()
    assert np.isfinite(scaled).all() and (scaled[:, 3] != 0).any()


def test_all_constant_and_a_single_row_are_finite() -> None:
    for rows in (np.full((4, 3), 5.0, "float32"), np.ones((1, 3), "float32")):
        assert (np.asarray(fitted(rows)(rows * 2)) == 0).all()


def test_outliers_are_limited() -> None:
    scaled = np.asarray(fitted(ROWS)(np.full((1, 6), 1e9, "float32")))
    assert (scaled == 10.0).all()


def test_statistics_follow_the_weights() -> None:
    """`set_weights` must reach what the layer computes with."""
    source, other = fitted(ROWS), fitted(ROWS * 2)
    other.set_weights(source.get_weights())
    np.testing.assert_array_equal(other(ROWS), source(ROWS))


def test_large_features_survive_half_precision() -> None:
    previous = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        rows = ROWS + np.float32(1e6)  # float16 ends at 65,504
        assert np.abs(np.asarray(fitted(rows)(rows))).max() < 10
    finally:
        keras.config.set_dtype_policy(previous)


@pytest.mark.parametrize("rows", [np.zeros((0, 6)), np.zeros((4, 5)), np.zeros(6)])
def test_wrong_shape_is_refused(rows: np.ndarray) -> None:
    layer = FeatureNormalization(name="visual_normalization")
    layer.build((None, 6))
    with pytest.raises(ValueError, match=r"visual_normalization .* Received: shape="):
        layer.fit(rows)


def test_rows_in_several_arrays_count_like_rows_in_one() -> None:
    rows = (ROWS - 40.0) * np.float32(1e-3) + np.float32(1e3)  # the mean outweighs what varies
    layer = FeatureNormalization()
    layer.build((None, 6))
    layer.fit(iter([rows[:1], rows[1:17], rows[17:]]))
    np.testing.assert_allclose(layer.mean, rows.mean(axis=0, dtype="float64"), rtol=1e-6)
    np.testing.assert_allclose(layer.variance, rows.var(axis=0, dtype="float64"), rtol=1e-5)
    with pytest.raises(ValueError, match="no array"):
        layer.fit(iter([]))


def test_bad_values_are_refused() -> None:
    rows = ROWS.copy()
    rows[3, 1] = np.nan
    with pytest.raises(ValueError, match="not finite"):
        fitted(rows)


def test_model_takes_each_modality_where_it_belongs() -> None:
    rng = np.random.default_rng(0)
    visual = rng.normal(5.0, 2.0, (30, VISUAL_WIDTH))
    audio = rng.normal(-1.0, 3.0, (30, AUDIO_WIDTH))
    both = small_model("avel")
    fit_normalization(both, visual, audio)
    for modality, rows in (("visual", visual), ("audio", audio)):
        layer = both.get_layer(f"{modality}_normalization")
        np.testing.assert_allclose(layer.mean, rows.mean(axis=0), rtol=1e-5)
        np.testing.assert_allclose(layer.variance, rows.var(axis=0), rtol=1e-5)
    fit_normalization(small_model("audio_only"), np.zeros((0, 1)), audio)


def test_model_without_normalization_is_refused() -> None:
    with pytest.raises(ValueError, match="FeatureNormalization"):
        fit_normalization(keras.Sequential([keras.layers.Dense(1)]), ROWS, ROWS)
