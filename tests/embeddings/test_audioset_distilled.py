"""The audio backbone with AudioSet scores."""

from __future__ import annotations

import numpy as np
import pytest

from avel_tf.embeddings import audioset_distilled, load_audio
from avel_tf.models.zero_shot import FLOOR
from avel_tf.vocabulary.class_table import ClassTable, audioset

RATE = 16_000


@pytest.fixture(scope="module")
def model():
    return audioset_distilled.pretrained()


def scores_of(model, seconds: np.ndarray) -> np.ndarray:
    return np.asarray(model(seconds.astype(np.float32), training=False)["scores"])


def test_it_is_small_enough_to_ship(model):
    assert model.count_params() <= 5_000_000
    assert audioset_distilled.WEIGHTS.stat().st_size <= 10_000_000
    with np.load(audioset_distilled.WEIGHTS) as arrays:
        assert {each.dtype for each in arrays.values()} == {np.dtype(np.float16)}
        assert all(np.isfinite(each).all() for each in arrays.values())


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
    assert quiet.argmax() == audioset()["Silence"][0]
    table = ClassTable.load()
    events = [index for each in table for index in table.indices(each, "audioset-527")]
    assert quiet[events].max() < FLOOR


def chord() -> np.ndarray:
    """Harmonics of three notes that fade, as of plucked strings [16000]."""
    time = np.arange(RATE) / RATE
    partials = [
        np.sin(2 * np.pi * pitch * harmonic * time) / harmonic
        for pitch in (220.0, 277.2, 329.6)
        for harmonic in range(1, 8)
    ]
    return 0.1 * np.sum(partials, axis=0) * np.exp(-2 * time)


def test_a_chord_is_music_and_white_noise_hisses(model):
    place = {name: index for name, (index, _) in audioset().items()}
    white = np.random.default_rng(3).normal(0, 0.1, RATE)
    music, noise = scores_of(model, np.stack([chord(), white]))
    assert music.argmax() == place["Music"] and music[place["Music"]] > 0.2
    hiss = [
        place[name]
        for name in ("Static", "White noise", "Pink noise", "Noise", "Rain", "Stream", "Waterfall")
    ]
    assert noise.argmax() in hiss and noise[hiss].max() > 3 * music[hiss].max()
    assert noise[place["Music"]] < 0.1
    assert max(music[place["Speech"]], noise[place["Speech"]]) < 0.15


def test_loudness_changes_little(model):
    loud, quiet = scores_of(model, np.stack([chord(), 0.3 * chord()]))
    assert loud.argmax() == quiet.argmax()
    assert np.corrcoef(loud, quiet)[0, 1] > 0.95
