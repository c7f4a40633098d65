"""The architecture of the compact audio backbone."""

from __future__ import annotations

import numpy as np
import pytest

from avel_tf.embeddings.compact import AUDIO_WIDTH, audio_network


@pytest.fixture(scope="module")
def network():
    return audio_network()


def seconds(count: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.uniform(-0.5, 0.5, (count, 16_000)).astype("float32")


def test_a_second_becomes_a_vector_that_depends_on_it_alone(network):
    batch = seconds(3)
    vectors = network(batch).numpy()
    assert vectors.shape == (3, AUDIO_WIDTH) and vectors.dtype == np.float32
    assert (vectors >= 0).all() and np.isfinite(vectors).all()
    np.testing.assert_allclose(network(batch[1:2]).numpy()[0], vectors[1], atol=1e-5)
    assert np.abs(vectors[0] - vectors[1]).max() > 1e-4


def test_silence_stays_finite(network):
    assert np.isfinite(network(np.zeros([1, 16_000], np.float32)).numpy()).all()


def test_it_fits_into_the_package(network):
    """Pictures and sound share 12 MB; 1.2 million float16 weights are 2.4 MB of them."""
    assert network.count_params() <= 1_200_000
