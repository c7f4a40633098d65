"""Small models, built once: tests read them and leave their weights alone."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from avel_tf.models import MODELS, ModelSettings, build, fit_normalization

VISUAL_WIDTH, AUDIO_WIDTH, CLASSES = 12, 7, 3
# Settings of `avel` that between them use every piece; `per_second` with class activation is the
# one way from evidence to logits that the first does not take.
VARIANTS: dict[str, dict[str, object]] = {
    "every piece": {
        "head": "factorised",
        "cross_modal": "propagation",
        "background_gate": True,
        "class_activation": True,
        "contrast": True,
    },
    "activation": {"head": "per_second", "cross_modal": "none", "class_activation": True},
    "spatial attention": {"spatial_attention": True, "visual_places": 3},
}


def small_model(
    name: str, seed: int = 0, *, visual_places: int = 1, **settings: object
) -> keras.Model:
    sizes = {"width": 8, "heads": 2, "lstm_units": 5, **settings}
    return build(
        ModelSettings(name, **sizes),
        visual_width=VISUAL_WIDTH,
        audio_width=AUDIO_WIDTH,
        classes=CLASSES,
        visual_places=visual_places,
        seed=seed,
    )


def random_inputs(valid: np.ndarray, seed: int = 0) -> dict[str, np.ndarray]:
    """Features of an odd scale and centre, as embeddings have them."""
    rng = np.random.default_rng(seed)
    return {
        "visual": rng.normal(3.0, 2.0, (*valid.shape, VISUAL_WIDTH)).astype("float32"),
        "audio": rng.normal(100.0, 50.0, (*valid.shape, AUDIO_WIDTH)).astype("float32"),
        "valid": valid,
    }


@pytest.fixture(scope="session", params=MODELS)
def model(request: pytest.FixtureRequest) -> keras.Model:
    """Each of the five models in turn, normalised to the data of `random_inputs`."""
    return normalised(small_model(request.param))


def normalised(built: keras.Model) -> keras.Model:
    """The model, normalised to the data of `random_inputs`."""
    inputs = random_inputs(np.ones((20, 10), bool), seed=1)
    fit_normalization(
        built,
        inputs["visual"].reshape(-1, VISUAL_WIDTH),
        inputs["audio"].reshape(-1, AUDIO_WIDTH),
    )
    return built
