"""Training on maps: what is heard says which place tells the class."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from avel_tf.features.feature_store import FeatureStore
from avel_tf.features.features import Features
from avel_tf.models import ModelSettings
from avel_tf.training.fit import augmentation_for, fit
from avel_tf.training.run import probabilities_of
from avel_tf.training.settings import TrainingSettings
from tests.training import stores

# Four places; in each stands one of four things, and each thing is one of two classes.
THINGS, SECONDS = 4, 5
CHANNELS = THINGS + 1
RECIPE = replace(
    stores.RECIPE,
    visual=replace(stores.RECIPE.visual, width=THINGS * CHANNELS, places=THINGS),
    audio=replace(stores.RECIPE.audio, width=THINGS),
)


def scenes(split: str, count: int, seed: int = 0) -> list[stores.Record]:
    """Every second shows all things; the class is that of the thing that is heard.

    Two of them always are of one class and two of the other, so the mean over places is the same
    in every second: it tells nothing.
    """
    rng = np.random.default_rng([seed, len(split)])
    found = []
    for number in range(count):
        maps = np.zeros((SECONDS, THINGS, CHANNELS), "float32")
        classes = np.stack([rng.permutation([0, 0, 1, 1]) for _ in range(SECONDS)])  # [T, things]
        places = np.stack([rng.permutation(THINGS) for _ in range(SECONDS)])
        for second in range(SECONDS):
            maps[second, places[second], np.arange(THINGS)] = 1.0
            maps[second, places[second], THINGS] = 2.0 * classes[second] - 1.0
        heard = rng.integers(THINGS, size=SECONDS)
        maps += rng.normal(scale=0.05, size=maps.shape)
        features = Features(
            maps.reshape(SECONDS, -1).astype("float32"),
            np.eye(THINGS, dtype="float32")[heard],
            np.ones(SECONDS, bool),
        )
        found.append((f"{split}{number}", features, (), classes[np.arange(SECONDS), heard]))
    return found


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    folder = tmp_path_factory.mktemp("maps") / "features"
    return stores.write_store(
        folder, RECIPE, train=scenes("train", 100), validation=scenes("validation", 40)
    )


def settings(name: str = "bi_vaatt", *, spatial_attention: bool = True) -> ModelSettings:
    return ModelSettings(
        name, width=16, heads=2, lstm_units=0, dropout=0.0, input_dropout=0.0,
        spatial_attention=spatial_attention,
    )  # fmt: skip


def accuracy(store: FeatureStore, folder: Path, model_settings: ModelSettings) -> float:
    training = TrainingSettings(
        epochs=25,
        batch_size=16,
        learning_rate=1e-2,
        weight_decay=0.0,
        label_smoothing=0.0,
        window_seconds=SECONDS,
    )
    model = fit(store, folder, model_settings=model_settings, training=training)
    clips = list(store.dataset("validation").as_numpy_iterator())
    visual, audio, valid, targets = (
        np.stack([clip[key] for clip in clips]) for key in ("visual", "audio", "valid", "targets")
    )
    return float((probabilities_of(model)(visual, audio, valid).argmax(-1) == targets).mean())


@pytest.mark.slow
def test_only_the_place_that_sounds_tells_the_class(store, tmp_path):
    picked = accuracy(store, tmp_path / "picked", settings())
    averaged = accuracy(store, tmp_path / "averaged", settings(spatial_attention=False))
    assert picked > 0.95
    assert averaged < 0.65  # half of it is chance


def test_every_place_has_the_noise_of_its_channel(store, tmp_path):
    from avel_tf.features.examples import load_examples
    from avel_tf.models import build, fit_normalization
    from avel_tf.training.augmentation.settings import AugmentationSettings

    examples = load_examples(store, "train", seconds=SECONDS)
    model = build(
        settings("avel"), visual_width=RECIPE.visual.width, audio_width=THINGS, classes=3,
        visual_places=THINGS,
    )  # fmt: skip
    fit_normalization(model, examples.valid_seconds("visual"), examples.valid_seconds("audio"))
    noise = TrainingSettings(augmentation=AugmentationSettings(feature_noise=0.5))
    batches = [
        next(
            examples.batches(
                100, seed=0, first_epoch=0, epochs=1, augment=augment
            ).as_numpy_iterator()
        )[0]["visual"]
        for augment in (None, augmentation_for(model, noise))
    ]
    added = (batches[1] - batches[0]).reshape(-1, THINGS, CHANNELS)
    channels = examples.visual.reshape(-1, CHANNELS).std(axis=0)
    np.testing.assert_allclose(
        added.std(axis=0), np.broadcast_to(0.5 * channels, added.shape[1:]), rtol=0.2
    )
