"""The checks that every layer and every model must pass."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tests.processes import bfloat16_crashes

POLICY = "mixed_bfloat16"


def run_layer_test(
    make: Callable[..., keras.layers.Layer],
    inputs: Any,
    *,
    expected_shape: tuple[int, ...],
    expected_dtype: str,
    expected_trainable: int,
    tmp_path: Path,
) -> keras.layers.Layer:
    """Runs a layer through its life, from its first call to its file.

    Args:
        make: makes the layer; takes keyword arguments of `keras.layers.Layer`.
        inputs: an array `[B, T, ...]`, or a dict of them for a model.
        expected_shape: of the output, B and T included.
        expected_dtype: of the output, under every precision policy.
        expected_trainable: how many trainable weights the layer has.
        tmp_path: an empty folder.

    Returns:
        The layer, built.
    """
    layer = make()
    output = layer(inputs)
    assert tuple(output.shape) == expected_shape
    assert keras.backend.standardize_dtype(output.dtype) == expected_dtype
    assert np.isfinite(np.asarray(output)).all()
    assert len(layer.trainable_weights) == expected_trainable

    shapes = keras.tree.map_structure(lambda array: tuple(array.shape), inputs)
    assert tuple(layer.compute_output_shape(_as_input_shapes(layer, shapes))) == expected_shape

    _check_config(layer, inputs, output)
    _check_file(layer, inputs, output, tmp_path / "layer.keras")
    _check_gradients(layer, inputs)
    _check_other_lengths(layer, inputs, expected_shape)

    np.testing.assert_array_equal(layer(inputs, training=False), output)
    assert np.isfinite(np.asarray(layer(inputs, training=True))).all()

    if not bfloat16_crashes():
        _check_mixed_precision(make, inputs, expected_shape, expected_dtype)
    return layer


def _as_input_shapes(layer: keras.layers.Layer, shapes: Any) -> Any:
    # A functional model answers for its inputs in the order of its own structure.
    return shapes if not isinstance(layer, keras.Model) else {k: shapes[k] for k in layer.input}


def _check_config(layer: keras.layers.Layer, inputs: Any, output: Any) -> None:
    twin = type(layer).from_config(layer.get_config())
    assert twin.get_config() == layer.get_config()
    twin(inputs)
    assert [w.shape for w in twin.weights] == [w.shape for w in layer.weights]
    twin.set_weights(layer.get_weights())
    np.testing.assert_array_equal(twin(inputs), output)


def _check_file(layer: keras.layers.Layer, inputs: Any, output: Any, path: Path) -> None:
    model = layer
    if not isinstance(layer, keras.Model):
        symbolic = keras.Input((None, *inputs.shape[2:]))
        model = keras.Model(symbolic, layer(symbolic))
    model.save(path)
    loaded = keras.saving.load_model(path, compile=False, safe_mode=True)
    np.testing.assert_array_equal(loaded(inputs), output)


def _check_gradients(layer: keras.layers.Layer, inputs: Any) -> None:
    if not layer.trainable_weights:
        return
    with tf.GradientTape() as tape:
        loss = keras.ops.sum(keras.ops.square(layer(inputs)))
    weights = layer.trainable_weights
    for weight, gradient in zip(
        weights, tape.gradient(loss, [w.value for w in weights]), strict=True
    ):
        assert gradient is not None, f"{weight.path} has no part in the output"
        assert np.isfinite(np.asarray(gradient)).all(), f"{weight.path} has a bad gradient"


def _check_other_lengths(layer: keras.layers.Layer, inputs: Any, shape: tuple[int, ...]) -> None:
    for length in (1, shape[1] - 1):
        part = keras.tree.map_structure(lambda array, n=length: array[:, :n], inputs)
        assert tuple(layer(part).shape) == (shape[0], length, *shape[2:])


def _check_mixed_precision(
    make: Callable[..., keras.layers.Layer], inputs: Any, shape: tuple[int, ...], dtype: str
) -> None:
    previous = keras.config.dtype_policy()
    keras.config.set_dtype_policy(POLICY)
    try:
        layer = make()
        output = layer(inputs)
        _check_gradients(layer, inputs)
    finally:
        keras.config.set_dtype_policy(previous)
    assert tuple(output.shape) == shape
    assert keras.backend.standardize_dtype(output.dtype) == dtype
    assert np.isfinite(np.asarray(output)).all()
    assert {keras.backend.standardize_dtype(w.dtype) for w in layer.trainable_weights} <= {
        "float32"
    }
