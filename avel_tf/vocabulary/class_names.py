"""Names of classes as users give them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from avel_tf.events.labels import Labels
from avel_tf.utils.text import split_names
from avel_tf.vocabulary.class_table import ClassTable, SoundingClass


def resolve_classes(
    classes: str | Sequence[str], labels: Labels, words: Mapping[str, Sequence[str]] | None = None
) -> tuple[str, ...]:
    """Find the classes of a model that a user selects.

    Args:
        classes: A list of names; a text with names separated by commas, which may contain commas
            themselves; or the path of a text file with one name on each line.
        labels: Classes of the model.
        words: Other words for each class, of a zero-shot model.

    Returns:
        Names of the model's classes, without repetition. A word that belongs to several classes
        stands for all of them.

    Raises:
        ValueError: The model lacks a class, or there is none.
        OSError: The file cannot be read.
    """
    if isinstance(classes, str):
        # Path.is_file raises for a list of names that is longer than a file name may be.
        if os.path.isfile(classes):
            lines = Path(classes).read_text(encoding="utf-8-sig").splitlines()
            wanted = [line.strip() for line in lines if line.strip()]
        else:
            wanted = split_names(classes, labels.names)
    else:
        wanted = [name.strip() for name in classes]
    if not any(wanted):
        raise ValueError(f"Expected names of classes. Received: {classes!r}.")
    table = ClassTable(
        SoundingClass(name, "direct", (), (), tuple((words or {}).get(name, ())))
        for name in labels.names
    )
    found = [each.name for word in wanted for each in table.matches(word)]
    return tuple(dict.fromkeys(found))
