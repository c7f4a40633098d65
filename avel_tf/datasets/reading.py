"""Decoding of text, numbers and labels for the readers of all layouts."""

from __future__ import annotations

import codecs
import math
from collections.abc import Iterable
from pathlib import Path

from avel_tf.datasets.dataset import Annotation, DatasetError
from avel_tf.events.labels import Labels


def read_bytes(path: Path) -> bytes:
    """Reads an annotation file.

    Args:
        path: The file.

    Returns:
        Its bytes.

    Raises:
        DatasetError: It cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error.strerror or error}.") from error


def decode_text(raw: bytes, fallback: str) -> str:
    """Decodes UTF-8 and, with a byte order mark, UTF-16 ("Unicode text" of Excel).

    Args:
        raw: The bytes of the file.
        fallback: Treatment of bytes that are not UTF-8: `"latin-1"` decodes the whole file as
            Latin-1, `"surrogateescape"` keeps the bytes, so that a path still names its file.

    Returns:
        The text.
    """
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return raw.decode("utf-16", "replace")
    if fallback == "surrogateescape":
        return raw.decode("utf-8-sig", "surrogateescape")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return raw.decode(fallback)


def parse_seconds(text: str, what: str, where: str) -> float:
    """Parses a time.

    Negative times are accepted, and ends before starts as well: one error in ten thousand rows
    should not prevent training. `avel audit` reports them.

    Args:
        text: The text of the field.
        what: `"start"` or `"end"`.
        where: File and line, for the error.

    Returns:
        The time in seconds, finite.

    Raises:
        DatasetError: The text is not a finite number.
    """
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise DatasetError(
            f"{where}: the {what} {text!r} is not a number; expected seconds such as 3 or 2.5."
        )
    return value


def sort_annotations(annotations: Iterable[Annotation]) -> tuple[Annotation, ...]:
    """Sorts events independently of the order of the rows.

    Args:
        annotations: The events of one video.

    Returns:
        The events sorted by start, end and label.
    """
    return tuple(sorted(annotations, key=lambda event: (event.start, event.end, event.label)))


def alphabetical_labels(names: Iterable[str], path: Path) -> Labels:
    """Makes the vocabulary of a data set without an order of classes.

    Args:
        names: The class of every event.
        path: The annotation file, for the error.

    Returns:
        The classes in alphabetical order, ignoring case.

    Raises:
        DatasetError: There is no event, or a name is not allowed as a class.
    """
    unique = sorted(set(names), key=lambda name: (name.casefold(), name))
    if not unique:
        raise DatasetError(
            f"{path} has no event: all videos are background; expected at least one row with a "
            "label."
        )
    try:
        return Labels(unique)
    except ValueError as error:
        raise DatasetError(f"{path}: {error}") from error
