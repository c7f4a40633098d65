"""Networks over maps: places that sound picks, or that are averaged."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

from avel_tf.models import (
    ModelSettings,
    attention_model,
    attention_names,
    build,
    fit_normalization,
    load_model,
)
from tests.models.conftest import (
    AUDIO_WIDTH,
    CLASSES,
    VISUAL_WIDTH,
    normalised,
    random_inputs,
    small_model,
)

PLACES = 3
CHANNELS = VISUAL_WIDTH // PLACES
HOLES = np.array([[1, 1, 1, 1], [0, 1, 0, 1], [0, 0, 0, 0]], bool)
GUIDED = ("avel", "bi_avatt", "bi_vaatt")


@pytest.mark.parametrize("name", [*GUIDED, "visual_only"])
def test_without_spatial_attention_places_are_averaged(name: str) -> None:
    """As a network of vectors would see their mean, weight for weight."""
    maps, vectors = (
        small_model(name, visual_places=PLACES),
        build(
            ModelSettings(name, width=8, heads=2, lstm_units=5),
            visual_width=CHANNELS,
            audio_width=AUDIO_WIDTH,
            classes=CLASSES,
        ),
    )
    inputs = random_inputs(HOLES)
    mean = inputs["visual"].reshape(3, 4, PLACES, CHANNELS).mean(axis=2)
    np.testing.assert_allclose(maps(inputs), vectors({**inputs, "visual": mean}), atol=1e-5)


def test_sound_alone_takes_no_notice_of_maps() -> None:
    inputs = random_inputs(HOLES)
    expected = small_model("audio_only")(inputs)
    np.testing.assert_array_equal(small_model("audio_only", visual_places=PLACES)(inputs), expected)


@pytest.mark.parametrize("name", GUIDED)
def test_the_order_of_places_does_not_matter(name: str) -> None:
    """They share their statistics and weights: an event may move about in the picture."""
    model = normalised(small_model(name, visual_places=PLACES, spatial_attention=True))
    inputs = random_inputs(HOLES)
    maps = inputs["visual"].reshape(3, 4, PLACES, CHANNELS)
    turned = {**inputs, "visual": maps[:, :, [2, 0, 1]].reshape(3, 4, VISUAL_WIDTH)}
    np.testing.assert_allclose(model(turned), model(inputs), atol=1e-5)


def test_places_share_the_statistics_of_their_channel() -> None:
    model = small_model("avel", visual_places=PLACES, spatial_attention=True)
    rng = np.random.default_rng(0)
    visual = rng.normal(3.0, 2.0, (50, VISUAL_WIDTH)).astype("float32")
    audio = rng.normal(size=(50, AUDIO_WIDTH)).astype("float32")
    fit_normalization(model, [visual[:20], visual[20:]], audio)
    mean, variance = model.get_layer("visual_normalization").get_weights()
    rows = visual.reshape(-1, CHANNELS)
    np.testing.assert_allclose(mean, rows.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(variance, rows.var(axis=0), rtol=1e-4)
    with pytest.raises(ValueError, match=rf"arrays \[N, {CHANNELS}\].*shape=\(50, 5\)"):
        fit_normalization(model, visual[:, :5], audio)


@pytest.mark.slow
@pytest.mark.parametrize("name", GUIDED)
def test_spatial_attention_weights_are_an_output(name: str, tmp_path: Path) -> None:
    model = normalised(small_model(name, visual_places=PLACES, spatial_attention=True))
    model.save(tmp_path / "model.keras")
    keras.backend.clear_session()  # as in a process that built nothing: names are counted anew
    loaded = load_model(tmp_path / "model.keras")
    assert attention_names(loaded)[0] == "spatial_attention"
    inputs = random_inputs(HOLES)
    shares = np.asarray(attention_model(loaded, ["spatial_attention"])(inputs)["spatial_attention"])
    assert shares.shape == (3, 4, PLACES) and shares.dtype == np.float32
    np.testing.assert_allclose(shares.sum(axis=-1), 1.0, atol=1e-5)
    np.testing.assert_allclose(shares[~HOLES], 1 / PLACES, atol=1e-6)  # nothing there to prefer
    assert np.ptp(shares[HOLES], axis=-1).min() > 1e-4
    deafened = {**inputs, "audio": inputs["audio"][::-1].copy()}
    other = np.asarray(attention_model(loaded)(deafened)["spatial_attention"])
    assert np.abs(other - shares)[HOLES].max() > 1e-4  # sound has a say


def test_spatial_attention_refuses_vectors() -> None:
    with pytest.raises(ValueError, match="one vector per segment.*visual.maps=true"):
        small_model("avel", spatial_attention=True)


def test_places_share_the_width_evenly() -> None:
    with pytest.raises(ValueError, match="visual_width=12, visual_places=5"):
        small_model("avel", visual_places=5)


@pytest.mark.parametrize("name", ["audio_only", "visual_only"])
def test_unimodal_models_refuse_spatial_attention(name: str) -> None:
    with pytest.raises(ValueError, match=f"the baseline {name} has one of the two"):
        ModelSettings(name, spatial_attention=True)
