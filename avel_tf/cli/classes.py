"""avel classes: list the classes that can be labelled by name."""

from __future__ import annotations

import argparse
from pathlib import Path

# A class with more names in one vocabulary is shortened, such as the 118 breeds of dogs.
MOST_NAMES = 6


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument(
        "word",
        nargs="?",
        default="",
        metavar="WORD",
        help="only classes with this word in a name, or the nearest ones (default: all)",
    )
    parser.add_argument(
        "--class-table",
        type=Path,
        metavar="FILE.csv",
        help="further classes (docs/guide/classes.md)",
    )


def run(options: argparse.Namespace) -> int:
    """Print the classes; returns 1 if none is similar to the word."""
    from avel_tf.pretrained import DEFAULT_CLASSES
    from avel_tf.utils.text import printable
    from avel_tf.vocabulary.class_table import ClassTable

    table = ClassTable.load(options.class_table)
    found = table.search(options.word)
    if not found:
        raise ValueError(
            f"No class is similar to {options.word!r}. `avel classes` lists all {len(table)}; a "
            "table of your own adds classes (docs/guide/classes.md)."
        )
    for each in found:
        default = ", labelled by default" if each.name in DEFAULT_CLASSES else ""
        print(f"{printable(each.name)} ({each.kind}{default})")
        for what, names in (
            ("heard", each.audioset),
            ("seen", each.imagenet),
            ("also", each.words),
        ):
            if names:
                more = f"; and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
                print(f"  {what}: {'; '.join(map(printable, names[:MOST_NAMES]))}{more}")
    return 0
