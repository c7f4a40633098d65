"""Training runs, opened from their folders."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np

# Evaluation and export are in rooms to the right of this one; the public names lead to them.
import avel_tf
from avel_tf.config import Config, load_config
from avel_tf.embeddings.recipe import Recipe
from avel_tf.events.labels import Labels
from avel_tf.events.postprocessing import Postprocessing
from avel_tf.features.feature_store import FeatureStore, is_feature_store
from avel_tf.models import is_multi_label, load_model, probabilities_from
from avel_tf.reports.training_figures import read_history
from avel_tf.training.features import Data
from avel_tf.training.fit import MODEL


class Run:
    """A finished training run, opened from its folder.

    Args:
        folder: Folder of a run, as `avel_tf.train` or `avel train` wrote it.
        features: The features it was trained on; those in its folder when None, if there are any.

    Attributes:
        folder: The folder.
        config_yaml: The resolved configuration.
        labels: The classes.
        recipe: Recipe of the features that the model was trained on.
        postprocessing: Temperature, thresholds and rules for events, fitted on validation.

    Raises:
        ValueError: The folder is not a finished run.

    Example:
        >>> run = avel_tf.Run("RUN")
        >>> run.metrics["segment_accuracy"]
        0.92
        >>> run.export("saved_models/dog")
        PosixPath('saved_models/dog/1')
    """

    def __init__(self, folder: str | Path, *, features: FeatureStore | None = None) -> None:
        self.folder = Path(folder)
        self._features = features
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
            recipe: Recipe of the features.
            features: `FeatureStore.digests` of the training data, for `require_same_features`.
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

        Runs and features of older versions have no hashes and are accepted.

        Args:
            folder: The run's folder; accepted if nothing has begun in it.
            store: The features to resume on.

        Raises:
            ValueError: The features differ; the message names the splits.
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

    def __repr__(self) -> str:
        metrics = self.metrics or {}
        found = [f"{len(self.labels)} classes", f"{len(self.history)} epochs"]
        if "segment_accuracy" in metrics:
            found.append(f"segment_accuracy={metrics['segment_accuracy']:.3f}")
        return f"<Run {str(self.folder)!r}: {', '.join(found)}>"

    def model(self) -> keras.Model:
        """Load the Keras model: visual [B, T, Dv] and audio [B, T, Da] to logits [B, T, C+1]."""
        return load_model(self.folder / MODEL)

    @property
    def config(self) -> Config:
        """The configuration of the run."""
        return load_config(self.folder / "config.yaml")

    @property
    def metrics(self) -> dict[str, Any] | None:
        """Content of `metrics.json`; None if the run has not been evaluated."""
        path = self.folder / "metrics.json"
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None

    @property
    def history(self) -> list[dict[str, float]]:
        """Losses and metrics of each epoch, one row per epoch; of the best seed, if several."""
        path = self.folder / "history.csv"
        return read_history(path) if path.is_file() else []

    @property
    def features(self) -> FeatureStore | None:
        """The features it was trained on; None if they are neither given nor in the folder."""
        folder = self.folder / "features"
        if self._features is None and is_feature_store(folder):
            self._features = FeatureStore(folder, deleaked=self.config.dataset.deleaked)
        return self._features

    def evaluate(
        self,
        data: Data | None = None,
        *,
        split: str = "test",
        against: str | Path | Run | None = None,
    ) -> avel_tf.Evaluation:
        """Evaluate the model on a split; `avel_tf.evaluate` has further arguments.

        Args:
            data: A data set, a feature store, or the path of either; the features that the run was
                trained on when None.
            split: `train`, `validation` or `test`.
            against: Another run or an exported model, compared on the same videos.

        Returns:
            The metrics, in `.metrics`, and the outcome of each video.

        Raises:
            ValueError: The features are unknown or of another recipe, the classes differ, or the
                split is empty.

        Example:
            >>> run.evaluate().metrics["segment_accuracy"]
            0.92
        """
        if data is None:
            data = self.features
        if data is None:
            raise ValueError(
                f"The run {self.folder} does not contain the features it was trained on. Give the "
                'data set or the features: run.evaluate("DATA").'
            )
        return avel_tf.evaluate(self, data, split=split, against=against)

    def export(self, folder: str | Path) -> Path:
        """Export the model with its backbones as one SavedModel.

        Args:
            folder: Folder of the model's versions, such as `saved_models/dog`.

        Returns:
            Folder of the new version, such as `saved_models/dog/1`; `avel_tf.load` opens it.

        Raises:
            ValueError: The backbones of the configuration are not those of the run.
            ModuleUnavailableError: A backbone cannot be loaded.
        """
        return avel_tf.export_run(self, folder)


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
