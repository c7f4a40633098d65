"""Graphs of a zero-shot model whose backbones are those of the package."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from avel_tf.config import load_config
from avel_tf.embeddings.class_columns import ClassColumns
from avel_tf.embeddings.extractor import FeatureExtractor, load_extractor
from avel_tf.embeddings.recipe import Recipe, RecipeMismatchError
from avel_tf.embeddings.settings import EmbeddingSettings
from avel_tf.engines.engine import LoadedGraphs
from avel_tf.export.manifest import ModelError
from avel_tf.export.module import LocalizerModule
from avel_tf.models.zero_shot import build_zero_shot


def build_graphs(folder: Path, recipe: Recipe, columns: ClassColumns) -> LoadedGraphs:
    """Build the functions of a model without a SavedModel.

    Args:
        folder: The model.
        recipe: Its backbones.
        columns: Columns of the features with the scores of each class.

    Raises:
        ModelError: The package has other weights than the model was made with.
    """
    config = load_config(folder / "assets" / "config.yaml")
    extractor = shared_extractor(config.embeddings)
    try:
        recipe.require_same(
            extractor.recipe, ours=f"The model {folder}", theirs="what avel-tf loads now"
        )
    except RecipeMismatchError as error:
        raise ModelError(f"{error} Make the model again, or use it with its avel-tf.") from error
    return LocalizerModule(extractor, build_zero_shot(recipe, columns)).graphs()


@lru_cache(maxsize=1)
def shared_extractor(settings: EmbeddingSettings) -> FeatureExtractor:
    """Load backbones once for a model that is written and then used by the same process."""
    return load_extractor(settings)
