"""Class vocabulary: names and indices of the event classes, background last."""

from __future__ import annotations

import operator
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import SupportsIndex

from avel_tf.utils.text import did_you_mean

BACKGROUND = "background"

# The 28 classes of the AVE data set in order of first appearance in its `Annotations.txt`, which is
# the order in published AVE features and label files (Tian et al., ECCV 2018).
AVE_CLASSES: tuple[str, ...] = (
    "Church bell",
    "Male speech, man speaking",
    "Bark",
    "Fixed-wing aircraft, airplane",
    "Race car, auto racing",
    "Female speech, woman speaking",
    "Helicopter",
    "Violin, fiddle",
    "Flute",
    "Ukulele",
    "Frying (food)",
    "Truck",
    "Shofar",
    "Motorcycle",
    "Acoustic guitar",
    "Train horn",
    "Clock",
    "Banjo",
    "Goat",
    "Baby cry, infant cry",
    "Bus",
    "Chainsaw",
    "Cat",
    "Horse",
    "Toilet flush",
    "Rodents, rats, mice",
    "Accordion",
    "Mandolin",
)

# Control characters, surrogates, line and paragraph separators, which a text file with one name per
# line cannot hold.
_UNWRITABLE = {"Cc", "Cs", "Zl", "Zp"}


class Labels:
    """Event classes of a data set or a model, in order, followed by background.

    Args:
        names: The C event classes, without background, which always has the index C.

    Raises:
        ValueError: A name is empty, duplicate, `background`, or has a line break or control
            character.

    Example:
        >>> labels = Labels(["dog", "violin"])
        >>> labels.index("violin"), labels.index("background"), len(labels)
        (1, 2, 2)
    """

    __slots__ = ("_index", "_names")

    def __init__(self, names: Sequence[str]) -> None:
        if isinstance(names, str):
            raise ValueError(f"Labels expects a list of class names; received the text {names!r}.")
        self._names = tuple(names)
        self._index: dict[str, int] = {}
        for index, name in enumerate(self._names):
            _check(name)
            if name in self._index:
                raise ValueError(
                    f"The class {name!r} is listed twice, as number {self._index[name]} and as "
                    f"number {index}; each class has one index."
                )
            self._index[name] = index
        if not self._names:
            raise ValueError("Labels expects at least one event class; received none.")
        self._index[BACKGROUND] = len(self._names)

    @property
    def names(self) -> tuple[str, ...]:
        """The C event classes, without background."""
        return self._names

    @property
    def background(self) -> int:
        """Index of background: C, always the last."""
        return len(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __contains__(self, name: object) -> bool:
        return name in self._index

    def __eq__(self, other: object) -> bool:
        return self._names == other._names if isinstance(other, Labels) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._names)

    def __repr__(self) -> str:
        return f"Labels({list(self._names)!r})"

    def index(self, name: str) -> int:
        """Index of a class, or of background.

        Args:
            name: One of the classes, or `"background"`.

        Returns:
            0 to C-1 for a class, C for background.

        Raises:
            ValueError: The name is not in this vocabulary.
        """
        try:
            return self._index[name]
        except KeyError:
            hint = did_you_mean(name, [*self._names, BACKGROUND])
            raise ValueError(
                f"{name!r} is not one of the {len(self)} classes of this vocabulary.{hint}"
            ) from None

    def name(self, index: SupportsIndex) -> str:
        """Name of a class by its index.

        Args:
            index: 0 to C; C is background.

        Returns:
            The name.

        Raises:
            IndexError: The index is negative or greater than C.
        """
        number = operator.index(index)
        if not 0 <= number <= len(self):
            raise IndexError(
                f"The label index {number} is outside 0 to {len(self)} "
                f"({len(self)} classes, then background)."
            )
        return BACKGROUND if number == len(self) else self._names[number]

    def save(self, path: str | Path) -> None:
        """Write `labels.txt`: C+1 lines, background last; the line number from 0 is the index.

        Args:
            path: The file to write.
        """
        Path(path).write_text("\n".join((*self._names, BACKGROUND, "")), "utf-8", newline="\n")

    @classmethod
    def load(cls, path: str | Path) -> Labels:
        """Read a file that `save` wrote.

        Args:
            path: A text file with one name per line, background last.

        Returns:
            The vocabulary.

        Raises:
            ValueError: The file is not such a list; the message names it.
            OSError: The file cannot be read.
        """
        try:
            lines = Path(path).read_text("utf-8-sig").splitlines()
            if not lines or lines[-1] != BACKGROUND:
                last = f"its last line is {lines[-1]!r}" if lines else "the file is empty"
                raise ValueError(f"the last line must be {BACKGROUND!r}; {last}.")
            return cls(lines[:-1])
        except ValueError as error:
            raise ValueError(f"{path} is not a list of labels: {error}") from error


def _check(name: str) -> None:
    if not isinstance(name, str):
        raise ValueError(f"A class name must be text; received {name!r}.")
    if not name.strip():
        raise ValueError(f"A class name must not be empty; received {name!r}.")
    if name != name.strip():
        raise ValueError(f"The class name {name!r} begins or ends with a space; remove it.")
    if name.casefold() == BACKGROUND:
        raise ValueError(
            f"{name!r} cannot be an event class: segments without an event are background, which "
            "always has the last index."
        )
    if any(unicodedata.category(character) in _UNWRITABLE for character in name):
        raise ValueError(
            f"The class name {name!r} contains a line break or another character that is not "
            "allowed in a text file with one name per line."
        )
