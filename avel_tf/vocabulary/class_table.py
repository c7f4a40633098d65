"""Table of things that are both seen and heard, with their classes in each vocabulary."""

from __future__ import annotations

import csv
import difflib
import functools
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from avel_tf.utils.text import did_you_mean

FOLDER = Path(__file__).resolve().parent
CLASSES = FOLDER / "classes.csv"
# `direct`: both vocabularies have the thing itself. `near`: one of them has only something like it.
# `context`: only its surroundings are seen.
KINDS = ("direct", "near", "context")
COLUMNS = ("name", "kind", "audioset", "imagenet", "words")
_SEPARATOR, _RANGE = ";", ".."
# The classes of ImageNet classifiers of TF-Slim come after one of background.
_OFFSETS = {"imagenet-1000": 0, "imagenet-1001": 1}
_NEAREST = 5


@dataclass(frozen=True)
class SoundingClass:
    """A thing that can be seen and heard.

    Args:
        name: Its name, as in results.
        kind: One of `KINDS`.
        audioset: AudioSet classes that sound like it.
        imagenet: ImageNet classes that look like it.
        words: Other words for it, for the search.
    """

    name: str
    kind: str
    audioset: tuple[str, ...]
    imagenet: tuple[str, ...]
    words: tuple[str, ...] = ()


class ClassTable:
    """Things that can be asked for by name.

    Args:
        classes: The things; one of the same name replaces an earlier one.

    Example:
        >>> table = ClassTable.load()
        >>> table.find("dog").name
        'Bark'
    """

    def __init__(self, classes: Iterable[SoundingClass]) -> None:
        self._classes = {each.name: each for each in classes}

    @classmethod
    def load(cls, extra: str | Path | None = None) -> ClassTable:
        """Read the table of the package.

        Args:
            extra: A CSV file with the same columns, whose classes are added or replace others.

        Raises:
            ValueError: A line of `extra` is invalid; the message has its file and number.
            OSError: The file cannot be read.
        """
        tables = [read_classes(CLASSES)]
        if extra is not None:
            tables.append(read_classes(extra))
        return cls(each for table in tables for each in table)

    def __iter__(self) -> Iterator[SoundingClass]:
        return iter(self._classes.values())

    def __len__(self) -> int:
        return len(self._classes)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all classes, in the order of the table."""
        return tuple(self._classes)

    def find(self, word: str) -> SoundingClass:
        """Find a class by its name, or by another word that only this class has.

        Case does not matter, nor does a plural s.

        Raises:
            ValueError: There is none, or there are several; the message has the nearest ones.
        """
        found = self.matches(word)
        if len(found) > 1:
            names = "; ".join(each.name for each in found)
            raise ValueError(f"{word!r} may be any of these classes: {names}. Give one of them.")
        return found[0]

    def matches(self, word: str) -> list[SoundingClass]:
        """The class of a name, or all classes of another word.

        A part of a name is such a word if commas or parentheses divide it, as in "Violin, fiddle".
        Case does not matter, nor does a plural s.

        Raises:
            ValueError: There is none; the message has the nearest ones.
        """
        wanted = _normal(word)
        named = [each for each in self if _normal(each.name) == wanted]
        found = named or [each for each in self if wanted in _other_words(each)]
        if not found:
            nearest = "; ".join(each.name for each in self.search(word)[:_NEAREST])
            hint = f"The nearest are: {nearest}. " if nearest else ""
            raise ValueError(
                f"There is no class {word!r}. {hint}`avel classes` lists those of the pretrained "
                "model; a table of your own adds classes (docs/guide/classes.md)."
            )
        return found

    def named_in(self, text: str) -> list[SoundingClass]:
        """Classes whose names or other words occur in a text.

        Longer phrases come first. If some classes match all phrases that were found, only those
        are returned: "baby crying" is Baby cry, although Baby laughter has the word baby, too.

        Args:
            text: Such as a class name of another data set.

        Example:
            >>> [each.name for each in ClassTable.load().named_in("dog barking")]
            ['Bark']
        """
        tokens = _tokens(text)
        found: list[set[str]] = []
        for length in range(len(tokens), 0, -1):
            for start in range(len(tokens) - length + 1):
                phrase = _normal(" ".join(tokens[start : start + length]))
                if names := self._phrases.get(phrase):
                    found.append(names)
                    tokens[start : start + length] = [""] * length  # matches nothing
        if not found:
            return []
        names = set.intersection(*found) or set.union(*found)
        return [each for each in self if each.name in names]

    @functools.cached_property
    def _phrases(self) -> dict[str, set[str]]:
        """Names of the classes of each name and each other word."""
        phrases: dict[str, set[str]] = {}
        for each in self:
            for text in (each.name, *_other_words(each)):
                phrases.setdefault(_normal(" ".join(_tokens(text))), set()).add(each.name)
        return phrases

    def search(self, word: str) -> list[SoundingClass]:
        """Classes that contain a word in a name or another word, the best matches first."""
        wanted = _normal(word)
        if not wanted:
            return list(self)
        exact, partial = [], []
        for each in self:
            texts = [_normal(text) for text in (each.name, *each.words)]
            tokens = {token for text in texts for token in text.replace(",", " ").split()}
            texts += [_normal(text) for text in (*each.audioset, *each.imagenet)]
            if wanted in texts or wanted in tokens:
                exact.append(each)
            elif any(wanted in text for text in texts):
                partial.append(each)
        if exact or partial:
            return exact + partial
        named: dict[str, list[SoundingClass]] = {}
        for each in self:
            for text in (each.name, *each.words):
                named.setdefault(_normal(text), []).append(each)
        close = difflib.get_close_matches(wanted, list(named), n=_NEAREST, cutoff=0.7)
        return list(dict.fromkeys(each for text in close for each in named[text]))

    def indices(self, of: SoundingClass, vocabulary: str | None) -> tuple[int, ...]:
        """Indices of a class in a vocabulary.

        Args:
            of: A class.
            vocabulary: `imagenet-1000`, `imagenet-1001`, `audioset-527` or `yamnet-521`.

        Raises:
            ValueError: The vocabulary is unknown, or has none of the classes.
        """
        if vocabulary in _OFFSETS:
            offset = _OFFSETS[vocabulary]
            found = [offset + imagenet()[name] for name in of.imagenet]
        elif vocabulary == "audioset-527":
            found = [audioset()[name][0] for name in of.audioset]
        elif vocabulary == "yamnet-521":
            found = [index for name in of.audioset if (index := audioset()[name][1]) is not None]
        else:
            known = (*_OFFSETS, "audioset-527", "yamnet-521")
            raise ValueError(f"Unknown vocabulary {vocabulary!r}. Expected: {', '.join(known)}.")
        if not found:
            raise ValueError(f"The vocabulary {vocabulary} has nothing for the class {of.name!r}.")
        return tuple(found)


@functools.cache
def imagenet() -> dict[str, int]:
    """Index of each ImageNet class among the 1,000."""
    return {row["name"]: int(row["index"]) for row in _rows(FOLDER / "imagenet.csv")}


@functools.cache
def audioset() -> dict[str, tuple[int, int | None]]:
    """Index of each AudioSet class among the 527, and among YAMNet's 521 or None."""
    return {
        row["name"]: (int(row["index"]), int(row["yamnet"]) if row["yamnet"] else None)
        for row in _rows(FOLDER / "audioset.csv")
    }


def _rows(path: Path) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8-sig") as file:
        return list(csv.DictReader(file))


def read_classes(path: str | Path) -> list[SoundingClass]:
    """Classes of a CSV file.

    Raises:
        ValueError: A line is invalid; the message has its number.
        OSError: The file cannot be read.
    """
    with open(path, newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        missing = [name for name in COLUMNS[:4] if name not in (reader.fieldnames or ())]
        if missing:
            raise ValueError(
                f"{path} lacks the column{'s' if len(missing) > 1 else ''} {', '.join(missing)}. "
                f"Expected the columns {','.join(COLUMNS)}; words may be left out."
            )
        return [_class_of(row, f"Line {reader.line_num} of {path}") for row in reader]


def _class_of(row: dict[str, str | None], where: str) -> SoundingClass:
    name = (row["name"] or "").strip()
    if not name:
        raise ValueError(f"{where} has no name.")
    kind = (row["kind"] or "").strip()
    if kind not in KINDS:
        raise ValueError(
            f"{where}: the kind must be one of {', '.join(KINDS)}. Received: {kind!r}."
        )
    sounds = _known(_cell(row, "audioset"), list(audioset()), "AudioSet class", where)
    looks = [
        name
        for text in _cell(row, "imagenet")
        for name in (_range(text, where) if _RANGE in text else [text])
    ]
    looks = _known(looks, list(imagenet()), "ImageNet class", where)
    for found, column in ((sounds, "audioset"), (looks, "imagenet")):
        if not found:
            raise ValueError(f"{where}: the column {column} is empty. A class needs both.")
    return SoundingClass(name, kind, tuple(sounds), tuple(looks), tuple(_cell(row, "words")))


def _cell(row: dict[str, str | None], column: str) -> list[str]:
    parts = (row.get(column) or "").split(_SEPARATOR)
    return [part.strip() for part in parts if part.strip()]


def _range(text: str, where: str) -> list[str]:
    names = list(imagenet())
    ends = [part.strip() for part in text.split(_RANGE, 1)]
    first, last = (imagenet()[name] for name in _known(ends, names, "ImageNet class", where))
    return names[first : last + 1]


def _known(found: Sequence[str], names: Sequence[str], what: str, where: str) -> list[str]:
    for name in found:
        if name not in names:
            raise ValueError(f"{where}: there is no {what} {name!r}.{did_you_mean(name, names)}")
    return list(found)


def _other_words(of: SoundingClass) -> set[str]:
    return {_normal(text) for text in (*of.words, *re.split("[,()]", of.name)) if text.strip()}


def _tokens(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())


def _normal(text: str) -> str:
    text = " ".join(text.casefold().split())
    return text[:-1] if len(text) > 3 and text.endswith("s") and not text.endswith("ss") else text
