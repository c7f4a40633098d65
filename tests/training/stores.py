"""Small feature stores whose answer is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from avel_tf.embeddings.recipe import AudioRecipe, Recipe, VisualRecipe
from avel_tf.events.labels import Labels
from avel_tf.features.feature_store import FeatureStore, FeatureStoreWriter
from avel_tf.features.features import Features
from avel_tf.models import ModelSettings

LABELS = Labels(["Bark", "Church bell", "Clock"])
VISUAL_WIDTH, AUDIO_WIDTH = 6, 5
RECIPE = Recipe(
    VisualRecipe("eyes", "aa", frames_per_second=1, size=32, width=VISUAL_WIDTH),
    AudioRecipe("ears", "bb", sample_rate=16_000, activation="relu", width=AUDIO_WIDTH),
)
TINY = ModelSettings(width=16, heads=2, lstm_units=8)
# For tests of the training itself, in which the network does not matter: the quickest to build.
QUICKEST = ModelSettings("audio_only", width=8, heads=2, lstm_units=0)

Record = tuple[str, Features, tuple, np.ndarray]


def records(
    split: str, count: int, *, informative: str = "audio", seconds: int = 6, seed: int = 0
) -> list[Record]:
    """Clips in which one modality tells the class of every second and the other is noise."""
    rng = np.random.default_rng([seed, len(split)])
    # The same in every split: the class's place in the telling modality.
    centres = 3 * np.random.default_rng(99).normal(size=(len(LABELS) + 1, 6))
    found = []
    for number in range(count):
        targets = np.full(seconds, LABELS.background)
        start = rng.integers(0, seconds - 2)
        targets[start : rng.integers(start + 2, seconds + 1)] = rng.integers(len(LABELS))
        features = {
            "visual": rng.normal(size=(seconds, VISUAL_WIDTH)),
            "audio": rng.normal(size=(seconds, AUDIO_WIDTH)),
        }
        features[informative] += centres[targets, : features[informative].shape[1]]
        valid = np.ones(seconds, bool)
        made = Features(
            features["visual"].astype("float32"), features["audio"].astype("float32"), valid
        )
        found.append((f"{split}{number}", made, (), targets))
    return found


def write_store(folder: Path, recipe: Recipe = RECIPE, **splits: list[Record]) -> FeatureStore:
    """A feature store of records; splits that are not named are empty."""
    with FeatureStoreWriter(folder, recipe=recipe, labels=LABELS, layout="table") as writer:
        for name in ("train", "validation", "test"):
            given = splits.get(name, [])
            writer.write_split(name, given, expected=len(given))
    return FeatureStore(folder)
