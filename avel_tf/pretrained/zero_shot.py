"""Zero-shot localizers, built from backbones with class scores and the class table."""

from __future__ import annotations

import hashlib
import logging
import tempfile
from collections.abc import Sequence
from pathlib import Path

from avel_tf import __version__, embeddings
from avel_tf.config import Config
from avel_tf.embeddings.class_columns import ClassColumns
from avel_tf.embeddings.settings import (
    AUDIOSET_DISTILLED,
    AudioSettings,
    EmbeddingSettings,
    VisualSettings,
)
from avel_tf.events.labels import Labels
from avel_tf.export.manifest import BUILT_FROM, CLASS_WORDS, DEFAULT_CLASSES
from avel_tf.utils.durable_files import exclusive_lock
from avel_tf.utils.lazy_imports import load_tensorflow
from avel_tf.vocabulary.class_table import FOLDER as VOCABULARY
from avel_tf.vocabulary.class_table import ClassTable, read_classes

logger = logging.getLogger(__name__)

# The first pretrained model, with five classes, was version 1.
VERSION = "2"
# Raised when the same parts give another model.
LAYOUT = 2
# Backbones of the pretrained localizer, neither of which needs a download.
AUDIO_WEIGHTS = Path(embeddings.__file__).parent / "weights" / "audioset_distilled.npz"
EMBEDDINGS = EmbeddingSettings(
    visual=VisualSettings(module="efficientnet-lite2"),
    audio=AudioSettings(module=AUDIOSET_DISTILLED),
    scores=True,
)


def export_zero_shot(
    folder: str | Path,
    *,
    classes: Sequence[str] | None = None,
    table: ClassTable | None = None,
    backbones: EmbeddingSettings = EMBEDDINGS,
    default_classes: Sequence[str] | None = None,
    built_from: str | None = None,
) -> Path:
    """Export a zero-shot localizer as a SavedModel.

    Args:
        folder: Folder of the model's versions, such as `saved_models/animals`.
        classes: Classes of the table; all of them when None.
        table: The class table; that of the package when None.
        backbones: Both, with `scores=True`.
        default_classes: Classes that are labelled unless others are selected; all when None.
        built_from: Hash that identifies the model in place of the hash of its files.

    Returns:
        Folder of the new version, such as `saved_models/animals/1`.

    Raises:
        ValueError: The table lacks a class, or a backbone has no class scores.

    Example:
        >>> export_zero_shot("saved_models/animals", classes=["Bark", "Cat"])
        PosixPath('saved_models/animals/1')
    """
    load_tensorflow()
    from avel_tf.embeddings.extractor import load_extractor
    from avel_tf.export.saved_model import export_saved_model
    from avel_tf.models.zero_shot import build_zero_shot

    table = table or ClassTable.load()
    chosen = [table.find(name) for name in classes] if classes is not None else list(table)
    extractor = load_extractor(backbones)
    recipe = extractor.recipe
    indices = [
        [table.indices(each, part.vocabulary) for each in chosen]
        for part in (recipe.visual, recipe.audio)
    ]
    columns = ClassColumns.of(recipe, *indices)
    details: dict[str, object] = {CLASS_WORDS: {each.name: each.words for each in chosen}}
    if default_classes is not None:
        details[DEFAULT_CLASSES] = list(default_classes)
    if built_from is not None:
        details[BUILT_FROM] = built_from
    return export_saved_model(
        build_zero_shot(recipe, columns),
        extractor,
        folder,
        labels=Labels([each.name for each in chosen]),
        config_yaml=Config(embeddings=backbones).to_yaml(),
        columns=columns,
        details=details,
    )


def find_or_build(
    default_classes: Sequence[str], cache: Path, extra: str | Path | None = None
) -> Path:
    """Find the pretrained localizer in the cache, or build it there.

    It knows every class of the table. Its weights come from the package and from that of
    EfficientNet-Lite2, so it is built once for each version of them.

    Args:
        default_classes: Classes that are labelled unless others are selected.
        cache: Cache folder.
        extra: A CSV file with further classes, which are labelled by default, too.

    Returns:
        The model, `pretrained/2` in a folder of its own.
    """
    key = _built_from(default_classes, extra)
    versions = cache / "models" / key / "pretrained"
    model = versions / VERSION
    versions.mkdir(parents=True, exist_ok=True)
    added = [each.name for each in read_classes(extra)] if extra else []
    with exclusive_lock(versions.parent / "lock"):
        if not model.is_dir():
            logger.warning(
                "Building the pretrained model in %s (once; about half a minute).", model
            )
            with tempfile.TemporaryDirectory(dir=versions.parent) as temporary:
                built = export_zero_shot(
                    Path(temporary) / "pretrained",
                    table=ClassTable.load(extra),
                    default_classes=tuple(dict.fromkeys([*default_classes, *added])),
                    built_from=key,
                )
                built.rename(model)
    return model


def _built_from(default_classes: Sequence[str], extra: str | Path | None) -> str:
    """Hash of everything that the pretrained localizer is built from."""
    # EfficientNet-Lite2's file is checked against a constant when it is read.
    digest = hashlib.sha256(f"{__version__} {LAYOUT}\n".encode())
    tables = [*sorted(VOCABULARY.glob("*.csv")), *([Path(extra)] if extra else [])]
    for path in (AUDIO_WEIGHTS, *tables):
        digest.update(path.read_bytes())
    digest.update("\n".join(default_classes).encode())
    return digest.hexdigest()
