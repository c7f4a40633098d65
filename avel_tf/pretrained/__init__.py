"""The pretrained localizer: classes by name, without training or a download.

It is zero-shot: EfficientNet-Lite2 names what is seen, the project's own audio backbone what is
heard, and an event is what both name (docs/guide/classes.md). It is assembled on the first use from
weights that pip has installed; what it needs later is kept in the cache folder.
"""

from __future__ import annotations

from pathlib import Path

from avel_tf.engines.available import cache_folder
from avel_tf.engines.settings import EngineSettings
from avel_tf.export.manifest import ModelError
from avel_tf.vocabulary.class_table import ClassTable

MODEL_CARD = Path(__file__).resolve().parent / "model_card.md"
# Classes that are labelled unless others are selected. docs/guide/classes.md has the bar that they
# passed and their figures.
DEFAULT_CLASSES = (
    "Bark",
    "Race car, auto racing",
    "Violin, fiddle",
    "Flute",
    "Ukulele",
    "Frying (food)",
    "Motorcycle",
    "Acoustic guitar",
    "Banjo",
    "Goat",
    "Baby cry, infant cry",
    "Chainsaw",
    "Cat",
    "Horse",
    "Toilet flush",
    "Accordion",
)
# Terminals show a line of this many names.
_NAMES_SHOWN = 40


def find_pretrained(
    settings: EngineSettings | None = None, class_table: str | Path | None = None
) -> Path:
    """Find the folder of the pretrained model; the first use builds it in the cache folder.

    Args:
        settings: Settings with the cache folder.
        class_table: A CSV file with further classes (docs/guide/classes.md).

    Returns:
        The model, as an absolute path. `avel export pretrained` writes it as a SavedModel.

    Raises:
        ModelError: It cannot be built; the message says what to install.

    Example:
        >>> find_pretrained().name
        '2'
    """
    from avel_tf.pretrained.cache import find_or_build

    try:
        cache = cache_folder(settings or EngineSettings())
        return find_or_build(DEFAULT_CLASSES, cache, class_table)
    except (OSError, ValueError) as error:
        raise ModelError(
            f"The pretrained model cannot be built: {error} Or give another model with --model "
            "SAVED_MODEL (avel export RUN --out saved_models/NAME makes one)."
        ) from error


def describe(classes: tuple[str, ...]) -> list[str]:
    """Classes and limits of the pretrained model, one line each.

    Args:
        classes: The classes that are labelled.
    """
    more = f" and {len(classes) - _NAMES_SHOWN} more" if len(classes) > _NAMES_SHOWN else ""
    return [
        f"Model: the pretrained one of avel-tf. It labels {_counted(classes)}: "
        f"{'; '.join(classes[:_NAMES_SHOWN])}{more}. Everything else is labelled background.",
        f"  --classes selects others of {len(ClassTable.load())} (avel classes lists them), "
        f"--model another model. Accuracy and limits: {MODEL_CARD}",
    ]


def _counted(classes: tuple[str, ...]) -> str:
    return "1 class" if len(classes) == 1 else f"{len(classes)} classes"
