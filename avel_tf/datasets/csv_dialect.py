"""Dialects of annotation tables: separators, column names, comments, splits and times."""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from pathlib import Path

from avel_tf.datasets.dataset import SPLITS, DatasetError
from avel_tf.datasets.reading import decode_text, parse_seconds, read_bytes
from avel_tf.utils.text import did_you_mean

REQUIRED = ("video", "label", "start", "end")
FORM = ",".join(REQUIRED) + "[,split]"

_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}
# Synonyms of column names: those of DCASE (https://dcase.community), MMAction2 and ActivityNet, and
# common ones. "offset" is an end only together with "onset".
_OTHER_WORDS = {
    "video": ("filename", "file_name", "file", "path", "video_path", "video_id", "video_name"),
    "label": ("event_label", "class", "class_name", "category"),
    "start": ("onset", "start_time"),
    "end": ("offset", "end_time"),
    "split": ("subset",),
}
_OTHER_SPLITS = {
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "testing": "test",
}
_SEP_LINE = re.compile(r'\A"?sep=(.)"?\r?\n', re.IGNORECASE)  # Excel reads and writes it
_CLOCK = re.compile(r"(?:(\d+):)?(\d+):(\d{1,2}(?:[.,]\d+)?)")
_COMMA = re.compile(r"[+-]?\d+,\d+")
# 1,500 may mean 1500 or 1.5; 0,500 and 1,5 are unambiguous.
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2},\d{3}")


class Table:
    """Rows of a table in any accepted dialect, by column.

    Ambiguous rows raise a `DatasetError` with the line.

    Args:
        path: The file.
        exists: Function that returns True for the name of an existing video file, to distinguish
            rows from rows that are commented out.

    Attributes:
        rows: Line on which each row ends, and its fields by column. `start` and `end` are text, to
            be parsed by `seconds`.
        notes: A sentence for each deviation from the plain form, with its interpretation.
    """

    def __init__(self, path: Path, exists: Callable[[str], bool]) -> None:
        self.path = path
        self.notes: list[str] = []
        # Bytes that are not UTF-8 are kept, because a file name on Linux may hold any.
        text = decode_text(read_bytes(path), "surrogateescape")
        candidates: Sequence[str] = tuple(_SEPARATORS)
        if declared := _SEP_LINE.match(text):
            candidates = [declared[1]]
            text = "\n" + text[declared.end() :]  # keeps the line numbers
        self._separator = _separator(text, candidates)
        if self._separator != ",":
            name = _SEPARATORS.get(self._separator, repr(self._separator))
            self.notes.append(f"The columns are separated by {name}.")
        self.rows = list(self._read(text, exists))
        self._decimal_comma = self._has_decimal_comma()

    def seconds(self, line: int, row: dict[str, str], column: str) -> float:
        """Parses a time of a row: seconds, also with a decimal comma, or [h:]m:ss.

        Args:
            line: The line of the row.
            row: One of `rows`.
            column: `start` or `end`.

        Raises:
            DatasetError: It is not a time, or ambiguous.
        """
        text = row[column]
        where = f"{self.path}, line {line}"
        if clock := _CLOCK.fullmatch(text):
            hours, minutes, seconds = clock.groups(default="0")
            # Decimal, so that 2:32.967 is exactly 152.967.
            value = Decimal(seconds.replace(",", "."))
            if value >= 60 or (clock[1] and int(minutes) >= 60):
                raise DatasetError(
                    f"{where}: the {column} {text!r} is not a time: minutes and seconds must be "
                    "below 60; expected [hours:]minutes:seconds, or seconds such as 2.5."
                )
            self._note("Times such as 1:05 are read as minutes and seconds.")
            return float(int(hours) * 3600 + int(minutes) * 60 + value)
        if _COMMA.fullmatch(text):
            if self._decimal_comma is None:
                raise DatasetError(
                    f"{where}: the {column} {text!r} is ambiguous (thousands or a fraction); "
                    "write seconds with a decimal point, such as 2.5."
                )
            self._note("Times such as 2,5 are read as 2.5 seconds.")
            text = text.replace(",", ".")
        elif self._decimal_comma and "." in text:
            raise DatasetError(
                f"{where}: the {column} {text!r} has a point, but other times of this table have a "
                "decimal comma; write all of them with a decimal point."
            )
        return parse_seconds(text, column, where)

    def split(self, line: int, text: str) -> str:
        """Parses a split; empty if there is none.

        Raises:
            DatasetError: The split is unknown.
        """
        word = text.casefold()
        split = _OTHER_SPLITS.get(word, word)
        if split and split not in SPLITS:
            raise DatasetError(
                f"{self.path}, line {line}: the split {text!r} is unknown; expected one of "
                f"{', '.join(SPLITS)}.{did_you_mean(word, SPLITS)}"
            )
        if split != text:
            self._note(f"The split {text!r} is read as {split}.")
        return split

    def _note(self, sentence: str) -> None:
        if sentence not in self.notes:
            self.notes.append(sentence)

    def _read(
        self, text: str, exists: Callable[[str], bool]
    ) -> Iterator[tuple[int, dict[str, str]]]:
        """Yields each row that is neither blank nor a comment."""
        path = self.path
        reader = _reader(text, self._separator)
        columns: list[str] = []
        comments = 0
        try:
            for fields in reader:
                fields = [value.strip() for value in fields]
                if not any(fields):
                    continue
                if _is_comment(fields, columns, exists):
                    comments += 1
                    continue
                if not columns:
                    columns = self._columns(fields)
                    continue
                where = f"{path}, line {reader.line_num}"
                if any(fields[len(columns) :]):
                    mark = {"\t": "tab", ";": "semicolon"}.get(self._separator, "comma")
                    raise DatasetError(
                        f"{where}: {len(fields)} fields, but the header has {len(columns)}; put a "
                        f'field that holds a {mark} in quotes, such as "Violin, fiddle". '
                        f"Received {fields!r}."
                    )
                if any(column in REQUIRED for column in columns[len(fields) :]):
                    raise DatasetError(
                        f"{where}: only {len(fields)} of {len(columns)} fields; received "
                        f"{fields!r}, expected {','.join(columns)}."
                    )
                yield reader.line_num, dict(zip(columns, fields, strict=False))
        except csv.Error as error:
            raise DatasetError(
                f"{path}, line {reader.line_num}: not a CSV row: {error}."
            ) from error
        if not columns:
            raise DatasetError(f"{path} is empty; expected a header with {FORM}.")
        if comments:
            self._note(f"{comments} line{'s' * (comments > 1)} of comments ignored.")

    def _columns(self, header: list[str]) -> list[str]:
        columns = _named(header)
        known = (*REQUIRED, "split")
        missing = [name for name in REQUIRED if name not in columns]
        doubled = [name for name in known if columns.count(name) > 1]
        if doubled:
            meant = [word for word, name in zip(header, columns, strict=True) if name == doubled[0]]
            raise DatasetError(
                f"{self.path}: the header has the column {doubled[0]!r} more than once"
                f"{'' if len(set(meant)) == 1 else ': ' + ', '.join(meant)}."
            )
        if missing:
            others = [name for name in columns if name not in known]
            hint = "".join(
                f" There is a column {name!r}.{did_you_mean(name, missing)}"
                for name in others
                if did_you_mean(name, missing)
            )
            raise DatasetError(
                f"{self.path}: the header lacks {', '.join(missing)}; expected {FORM} in any "
                f"order, received {self._separator.join(header)!r}.{hint}"
            )
        for word, name in zip(header, columns, strict=True):
            if name in known and word.casefold() != name:
                self._note(f"The column {word!r} is read as {name}.")
        return columns

    def _has_decimal_comma(self) -> bool | None:
        """True if commas in times are decimal, None if they could also separate thousands."""
        times = [row[column] for _, row in self.rows for column in ("start", "end")]
        commas = [text for text in times if _COMMA.fullmatch(text)]
        if not commas:
            return False
        # Spreadsheets use semicolons as separators if the comma is the decimal sign.
        if self._separator == ";" or not all(map(_THOUSANDS.fullmatch, commas)):
            return True
        return None


def _reader(text: str, separator: str) -> csv._reader:  # type: ignore[name-defined]
    return csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)


def _separator(text: str, candidates: Sequence[str]) -> str:
    """Finds the separator with which the header has all columns; else the first candidate."""
    for separator in candidates:
        try:
            for fields in _reader(text, separator):
                fields = [value.strip() for value in fields]
                if any(fields) and not fields[0].startswith("#"):
                    if set(REQUIRED) <= set(_named(fields)):
                        return separator
                    break
        except csv.Error:
            continue
    return candidates[0]


def _named(header: Sequence[str]) -> list[str]:
    """Translates column names; unknown ones are kept in lower case."""
    columns = [word.casefold() for word in header]
    plain = [re.sub(r"[\s_-]+", "_", word) for word in columns]
    for name, others in _OTHER_WORDS.items():
        if name in columns or (name == "end" and "offset" in plain and "onset" not in plain):
            continue
        columns = [
            name if word in others else column for column, word in zip(columns, plain, strict=True)
        ]
    return columns


def _is_comment(
    fields: Sequence[str], columns: Sequence[str], exists: Callable[[str], bool]
) -> bool:
    """Returns True if a line that begins with # is a comment.

    The name of a video may begin with #. A complete row is a comment only if a video of the name
    without # exists and none of the name with #.
    """
    if not fields[0].startswith("#"):
        return False
    needed = max((columns.index(name) for name in REQUIRED if name in columns), default=0)
    if not columns or len(fields) <= needed:
        return True
    if columns[0] != "video":
        return False
    name = fields[0]
    return not exists(name) and exists(name.lstrip("#").strip())


def video_exists(find: Callable[[str], os.PathLike | None], name: str) -> bool:
    """Returns True if a look-up finds the file, or several."""
    if not name or "\0" in name:
        return False
    try:
        return find(name) is not None
    except ValueError:
        return True
