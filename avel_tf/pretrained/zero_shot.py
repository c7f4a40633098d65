"""Zero-shot localizers, built from backbones with class scores and the class table."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from avel_tf.config import Config
from avel_tf.embeddings.built_in_weights import AUDIOSET_DISTILLED_FILE, EFFICIENTNET_LITE2
from avel_tf.embeddings.class_columns import ClassColumns
from avel_tf.embeddings.recipe import Recipe
from avel_tf.embeddings.settings import (
    AUDIOSET_DISTILLED,
    AudioSettings,
    EmbeddingSettings,
    VisualSettings,
)
from avel_tf.events.labels import Labels
from avel_tf.export.manifest import CLASS_WORDS, DEFAULT_CLASSES
from avel_tf.utils.lazy_imports import load_tensorflow
from avel_tf.vocabulary.class_table import FOLDER as VOCABULARY
from avel_tf.vocabulary.class_table import ClassTable

# Raised when the same parts give another pretrained localizer.
LAYOUT = 3
# Name of the network, as of `avel_tf/models/zero_shot.py`, whose import needs Keras.
NAME = "zero_shot"
# Backbones of the pretrained localizer, neither of which needs a download.
EMBEDDINGS = EmbeddingSettings(
    visual=VisualSettings(module=EFFICIENTNET_LITE2),
    audio=AudioSettings(module=AUDIOSET_DISTILLED),
    scores=True,
)


class ZeroShot(NamedTuple):
    """Everything in a zero-shot localizer except its networks.

    Attributes:
        recipe: The backbones.
        labels: The classes.
        columns: Columns of the features with the scores of each class.
        details: Entries of the manifest.
        config_yaml: The configuration of the backbones.
    """

    recipe: Recipe
    labels: Labels
    columns: ClassColumns
    details: dict[str, Any]
    config_yaml: str


def describe_zero_shot(
    recipe: Recipe,
    *,
    classes: Sequence[str] | None = None,
    table: ClassTable | None = None,
    backbones: EmbeddingSettings = EMBEDDINGS,
    default_classes: Sequence[str] | None = None,
) -> ZeroShot:
    """Describe a zero-shot localizer without TensorFlow.

    Args:
        recipe: Recipe of the backbones; other arguments as of `export_zero_shot`.
    """
    table = table or ClassTable.load()
    chosen = [table.find(name) for name in classes] if classes is not None else list(table)
    indices = [
        [table.indices(each, part.vocabulary) for each in chosen]
        for part in (recipe.visual, recipe.audio)
    ]
    details: dict[str, Any] = {CLASS_WORDS: {each.name: each.words for each in chosen}}
    if default_classes is not None:
        details[DEFAULT_CLASSES] = list(default_classes)
    return ZeroShot(
        recipe,
        Labels([each.name for each in chosen]),
        ClassColumns.of(recipe, *indices),
        details,
        Config(embeddings=backbones).to_yaml(),
    )


def export_zero_shot(
    folder: str | Path,
    *,
    classes: Sequence[str] | None = None,
    table: ClassTable | None = None,
    backbones: EmbeddingSettings = EMBEDDINGS,
    default_classes: Sequence[str] | None = None,
) -> Path:
    """Export a zero-shot localizer as a SavedModel.

    Args:
        folder: Folder of the model's versions, such as `saved_models/animals`.
        classes: Classes of the table; all of them when None.
        table: The class table; that of the package when None.
        backbones: Both, with `scores=True`.
        default_classes: Classes that are labelled unless others are selected; all when None.

    Returns:
        Folder of the new version, such as `saved_models/animals/1`.

    Raises:
        ValueError: The table lacks a class, or a backbone has no class scores.

    Example:
        >>> export_zero_shot("saved_models/animals", classes=["Bark", "Cat"])
        PosixPath('saved_models/animals/1')
    """
    load_tensorflow()
    from avel_tf.export.saved_model import export_saved_model
    from avel_tf.export.zero_shot import shared_extractor
    from avel_tf.models.zero_shot import build_zero_shot

    extractor = shared_extractor(backbones)
    parts = describe_zero_shot(
        extractor.recipe,
        classes=classes,
        table=table,
        backbones=backbones,
        default_classes=default_classes,
    )
    return export_saved_model(
        build_zero_shot(parts.recipe, parts.columns),
        extractor,
        folder,
        labels=parts.labels,
        config_yaml=parts.config_yaml,
        columns=parts.columns,
        details=parts.details,
    )


def package_parts() -> str:
    """Hash of everything in the package that affects the graphs of the pretrained localizer."""
    # EfficientNet-Lite2's file is checked against a constant when it is read.
    digest = hashlib.sha256(f"{LAYOUT}\n".encode())
    for path in (AUDIOSET_DISTILLED_FILE, *sorted(VOCABULARY.glob("*.csv"))):
        digest.update(path.read_bytes())
    return digest.hexdigest()
