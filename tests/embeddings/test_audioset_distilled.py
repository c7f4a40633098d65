"""The audio backbone with AudioSet scores."""

from __future__ import annotations

import numpy as np
import pytest

from avel_tf.embeddings import audioset_distilled, load_audio
from avel_tf.vocabulary.class_table import audioset

RATE = 16_000


@pytest.fixture(scope="module")
def model():
    return audioset_distilled.pretrained()


def scores_of(model, seconds: np.ndarray) -> np.ndarray:
    return np.asarray(model(seconds.astype(np.float32), training=False)["scores"])


def test_it_is_small_enough_to_ship(model):
    assert model.count_params() <= 5_000_000
    assert audioset_distilled.WEIGHTS.stat().st_size <= 10_000_000


def test_a_second_becomes_features_and_probabilities(model):
    noise = np.random.default_rng(0).normal(0, 0.1, (3, RATE)).astype(np.float32)
    found = {name: np.asarray(value) for name, value in model(noise).items()}
    assert found["features"].shape == (3, 768) and (found["features"] >= 0).all()
    assert found["scores"].shape == (3, 527) == (3, len(audioset()))
    assert ((found["scores"] >= 0) & (found["scores"] <= 1)).all()


def test_the_embedding_is_its_features(model):
    noise = np.random.default_rng(1).normal(0, 0.1, 2 * RATE).astype(np.float32)
    audio = load_audio("audioset-distilled")
    assert (audio.width, audio.activation, audio.vocabulary) == (768, "none", None)
    expected = model(noise.reshape(2, RATE))["features"]
    np.testing.assert_allclose(audio(noise), expected, atol=1e-4)


def test_silence_is_no_event(model):
    quiet = scores_of(model, np.zeros((1, RATE)))[0]
    events = [index for name, (index, _) in audioset().items() if name not in ("Silence",)]
    assert quiet[audioset()["Silence"][0]] == quiet.max() or quiet[events].max() < 0.15
    assert quiet[audioset()["Bark"][0]] < 0.05


def test_loudness_changes_little(model):
    rng = np.random.default_rng(2)
    noise = rng.normal(0, 0.1, (4, RATE))
    loud, quiet = scores_of(model, noise), scores_of(model, noise * 0.3)
    assert np.corrcoef(loud.ravel(), quiet.ravel())[0, 1] > 0.9
