"""The visual backbone's architecture: what it takes and gives, and that it runs elsewhere."""

from __future__ import annotations

import numpy as np
import pytest

from avel_tf.embeddings.compact import VISUAL_SIZE, visual_network, visual_trunk
from avel_tf.utils.lazy_imports import root_logger_restored


@pytest.fixture(scope="module")
def network():
    return visual_network()


@pytest.fixture(scope="module")
def pictures():
    return np.random.default_rng(0).random((3, VISUAL_SIZE, VISUAL_SIZE, 3), np.float32)


def test_vectors_are_finite_and_not_negative(network, pictures):
    vectors = np.asarray(network(pictures))
    assert vectors.shape == (3, network.output_shape[-1])
    assert vectors.dtype == np.float32
    assert np.isfinite(vectors).all() and (vectors >= 0).all()


def test_small_enough_to_be_shipped(network):
    assert network.count_params() <= 2.5e6


@pytest.mark.slow
def test_trunk_is_the_network_behind_its_shrinking(network, pictures):
    trunk = visual_trunk()
    trunk.set_weights(network.get_weights())
    small = pictures.reshape(3, VISUAL_SIZE // 2, 2, VISUAL_SIZE // 2, 2, 3).mean((2, 4))
    np.testing.assert_allclose(trunk(small), network(pictures), rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_openvino_gives_the_same(network, pictures, tmp_path):
    import openvino

    network.export(tmp_path / "network", verbose=False)
    with root_logger_restored():
        converted = openvino.convert_model(tmp_path / "network")
    compiled = openvino.Core().compile_model(converted, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    np.testing.assert_allclose(compiled(pictures)[0], network(pictures), rtol=1e-3, atol=1e-4)
