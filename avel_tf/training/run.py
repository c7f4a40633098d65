"""The folder of one training run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from avel_tf.embeddings.recipe import Recipe
from avel_tf.events.labels import Labels
from avel_tf.events.postprocessing import Postprocessing
from avel_tf.models import is_multi_label, load_model, probabilities_from
from avel_tf.training.train import MODEL

if TYPE_CHECKING:
    from avel_tf.features.feature_store import FeatureStore


class Run:
    """A finished training run.

    Args:
        folder: Folder of a run.

    Attributes:
        config_yaml: The resolved configuration.
        labels: The classes.
        recipe: Recipe of the features that the model was trained on.
        postprocessing: Temperature, thresholds and rules for events, fitted on validation.

    Raises:
        ValueError: When the folder is no finished run.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        missing = [
            name
            for name in ("config.yaml", "labels.txt", "manifest.json", MODEL)
            if not (self.folder / name).is_file()
        ]
        if missing:
            raise ValueError(
                f"{self.folder} is not a finished training run: {', '.join(missing)} is missing. "
                "Train one: avel train DATA --out RUN."
            )
        self.config_yaml = (self.folder / "config.yaml").read_text(encoding="utf-8")
        self.labels = Labels.load(self.folder / "labels.txt")
        manifest = self.folder / "manifest.json"
        try:
            self.recipe = Recipe.from_dict(json.loads(manifest.read_text("utf-8"))["recipe"])
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"The manifest {manifest} is damaged: {error}") from error
        self.postprocessing = Postprocessing.load(self.folder)

    @staticmethod
    def begin(
        folder: str | Path,
        *,
        config_yaml: str,
        labels: Labels,
        recipe: Recipe,
        features: dict[str, str | None] | None = None,
    ) -> None:
        """Write configuration, labels and recipe before the first epoch.

        Args:
            folder: The run's folder.
            config_yaml: The resolved configuration.
            labels: The classes.
            recipe: How the features were made.
            features: `FeatureStore.digests` of what is trained on, for `require_same_features`.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.yaml").write_text(config_yaml, encoding="utf-8")
        labels.save(folder / "labels.txt")
        content = {"schema": 1, "recipe": recipe.to_dict(), "features": features}
        text = json.dumps(content, indent=2)
        (folder / "manifest.json").write_text(text + "\n", encoding="utf-8")

    @staticmethod
    def require_same_features(folder: str | Path, store: FeatureStore) -> None:
        """Refuse to resume a run on other features or labels than it began with.

        Runs and features of older versions have no hashes, and pass.

        Args:
            folder: The run's folder; one in which nothing has begun passes.
            store: The features that the run shall go on with.

        Raises:
            ValueError: They are others; the message names the splits.
        """
        try:
            text = (Path(folder) / "manifest.json").read_text(encoding="utf-8")
            before = json.loads(text).get("features") or {}
        except FileNotFoundError:
            return
        changed = [
            split
            for split, digest in store.digests.items()
            if digest and before.get(split) and digest != before[split]
        ]
        if changed:
            raise ValueError(
                f"The run in {folder} began with other features or labels than {store.folder} "
                f"holds now (split {', '.join(changed)}). A run cannot be "
                "resumed on other data: start a new run in another folder (--out)."
            )

    def model(self) -> keras.Model:
        """The trained model; logits over features."""
        return load_model(self.folder / MODEL)

    @property
    def metrics(self) -> dict[str, Any] | None:
        """`metrics.json`, where the run has been evaluated."""
        path = self.folder / "metrics.json"
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def probabilities_of(model: keras.Model, temperature: float = 1.0) -> Callable[..., np.ndarray]:
    """Wrap a Keras model of logits as a function that returns probabilities.

    Args:
        model: Features to logits.
        temperature: Divisor of the logits, from `Run.postprocessing`.

    Returns:
        visual [B, T, Dv], audio [B, T, Da], valid [B, T] to float32 [B, T, C+1]. Invalid segments
        are background. Segments whose features are all zero are invalid as well, as in an exported
        model: older exports mark them so, and no backbone returns zeros for decoded media.
    """

    multi_label = is_multi_label(model)

    def predict(visual: np.ndarray, audio: np.ndarray, valid: np.ndarray) -> np.ndarray:
        valid = valid & (_any(visual) | _any(audio))  # [B, T]
        logits = model({"visual": visual, "audio": audio, "valid": valid}, training=False)
        # A product, as TensorFlow makes of a division when it optimises an exported graph.
        probabilities = keras.ops.convert_to_numpy(
            probabilities_from(logits * (1.0 / temperature), multi_label=multi_label)
        )
        background = np.eye(probabilities.shape[-1], dtype=np.float32)[-1]  # [C+1]
        return np.where(valid[..., None], probabilities, background)

    return predict  # [B, T, C+1]


def _any(features: np.ndarray) -> np.ndarray:
    """Mask [B, T] of the segments with a feature that is not zero."""
    return (features != 0.0).any(axis=tuple(range(2, features.ndim)))
