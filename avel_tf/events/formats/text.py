"""File names and labels as text that any program can display."""

from __future__ import annotations

import os


def printable(name: str) -> str:
    """A file's name as valid Unicode: bytes that are no UTF-8 are written as `\\xff`.

    For people to read. The results themselves keep the name exactly; see `Result.to_json`.

    Args:
        name: The name as `os.fsdecode` gives it, or any other text.

    Returns:
        The name, with every byte that is no UTF-8 spelled out.

    Example:
        >>> printable(os.fsdecode(b"dog\\xff.mp4"))
        'dog\\\\xff.mp4'
    """
    try:
        return os.fsencode(name).decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:
        # A surrogate that encodes no byte, which occurs in labels but not in file names.
        return name.encode("utf-8", "backslashreplace").decode("utf-8")


def one_line(text: str) -> str:
    """Text for one line: white space becomes one space, unprintable characters a question mark."""
    text = " ".join(printable(text).split())
    return "".join(letter if letter.isprintable() else "?" for letter in text)
