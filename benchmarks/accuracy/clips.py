"""Labelled features in memory, and training on them with the project's own trainer."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import keras
import numpy as np

from avel_tf.config import load_config
from avel_tf.embeddings.recipe import AudioRecipe, Recipe, VisualRecipe
from avel_tf.events.labels import Labels
from avel_tf.features.examples import load_examples
from avel_tf.features.feature_store import FeatureStore, FeatureStoreWriter
from avel_tf.features.features import Features
from avel_tf.models import load_model, training_outputs
from avel_tf.training.fit import fit
from avel_tf.training.run import probabilities_of

# Clips in one call of the trained network.
AT_ONCE = 256


@dataclass(frozen=True, eq=False)
class Clips:
    """N clips of T seconds.

    Attributes:
        visual: float32 [N, T, Dv].
        audio: float32 [N, T, Da].
        targets: int [N, T], background is C; -1 where a clip has ended.
    """

    visual: np.ndarray
    audio: np.ndarray
    targets: np.ndarray

    def __len__(self) -> int:
        return len(self.targets)

    def pick(self, rows: np.ndarray) -> Clips:
        """Some of the clips."""
        return Clips(self.visual[rows], self.audio[rows], self.targets[rows])


def split_of(store: FeatureStore, split: str) -> Clips:
    """A split of a feature store in windows of ten seconds."""
    found = load_examples(store, split, seconds=10)
    visual, audio = (each.astype("float32") for each in (found.visual, found.audio))
    return Clips(visual, audio, np.where(found.valid, found.targets, -1))


def write_store(
    folder: Path, names: Sequence[str], splits: dict[str, Clips], recipe: Recipe | None = None
) -> FeatureStore:
    """Write the clips as a feature store for training.

    Args:
        folder: Folder of the store.
        names: The C classes.
        splits: Clips of `train`, `validation` and `test`; empty ones may be left out.
        recipe: Recipe of the features, which says where class scores begin.
    """
    some = next(iter(splits.values()))
    recipe = recipe or Recipe(
        VisualRecipe("measured", "0" * 64, 1, 224, some.visual.shape[-1]),
        AudioRecipe("measured", "0" * 64, 16_000, "linear", some.audio.shape[-1]),
    )
    with FeatureStoreWriter(folder, recipe=recipe, labels=Labels(names), layout="table") as writer:
        for split in ("train", "validation", "test"):
            clips = splits.get(split)
            rows = range(len(clips)) if clips else ()
            writer.write_split(
                split,
                [
                    (
                        f"{split}-{row}",
                        Features(clips.visual[row], clips.audio[row], clips.targets[row] >= 0),
                        [],
                        clips.targets[row],
                    )
                    for row in rows
                ],
                expected=len(rows),
            )
    return FeatureStore(folder)


def trained_probabilities(
    store: FeatureStore, clips: Clips, folder: Path, *, seed: int, overrides: Sequence[str] = ()
) -> tuple[np.ndarray, float]:
    """Train as `avel train` does and label clips.

    Args:
        store: Training and validation split.
        clips: Clips to label.
        folder: Folder of the run.
        seed: Seed of the run.
        overrides: `section.key=value`, as after `--set`.

    Returns:
        Probabilities float32 [N, T, C+1], and the processor seconds of training.
    """
    config = load_config(overrides=[*overrides, f"training.seed={seed}"])
    before = time.process_time()
    model = fit(store, folder, model_settings=config.model, training=config.training)
    cost = time.process_time() - before
    predict = probabilities_of(model)
    parts = [
        predict(part.visual, part.audio, part.targets >= 0)
        for part in (
            clips.pick(np.arange(first, min(first + AT_ONCE, len(clips))))
            for first in range(0, len(clips), AT_ONCE)
        )
    ]
    return np.concatenate(parts), cost  # [N, T, C+1]


def network_alone(folder: Path) -> Callable[..., np.ndarray]:
    """Function of features that labels as a trained run does, but without its clip evidence."""
    model = load_model(folder / "model.keras")
    logits = training_outputs(model, ("logits",)).output["logits"]
    return probabilities_of(keras.Model(model.input, logits))


def without_scores(clips: Clips, recipe: Recipe) -> tuple[Clips, Recipe]:
    """Clips without the class scores that end their features, and their recipe."""
    visual, audio = (
        replace(part, width=part.width - part.score_width, vocabulary=None, scores=None)
        for part in (recipe.visual, recipe.audio)
    )
    cut = Clips(clips.visual[..., : visual.width], clips.audio[..., : audio.width], clips.targets)
    return cut, Recipe(visual, audio)


def clip_classes(targets: np.ndarray, classes: int) -> np.ndarray:
    """Event class of each clip with a single class, int [N]; -1 otherwise."""
    held = np.stack([(targets == event).any(axis=1) for event in range(classes)], axis=1)  # [N, C]
    return np.where(held.any(axis=1), held.argmax(axis=1), -1)


def pooled_classes(probabilities: np.ndarray) -> np.ndarray:
    """Class with the largest sum of probabilities over the segments, int [N]."""
    return probabilities[..., :-1].mean(axis=1).argmax(axis=-1)
