"""Text for messages: names that are safe to print, and suggestions for misspelt names."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable

# Zero-width joiners connect letters and the parts of an emoji. Unlike U+202E, they cannot reverse
# the direction of the text after them.
_JOINERS = "\u200c\u200d"


def did_you_mean(name: str, options: Iterable[str]) -> str:
    """Suggests the nearest valid name, to be appended to an error message.

    Args:
        name: The name that was received.
        options: The valid names.

    Returns:
        `" Did you mean 'Bark'?"`, or an empty string if no option is similar.

    Example:
        >>> did_you_mean("val", ["train", "validation", "test"])
        " Did you mean 'validation'?"
    """
    folded: dict[str, str] = {}
    for option in options:
        folded.setdefault(option.casefold(), option)
    wanted = name.casefold()
    near = [known for known in folded if wanted and known.startswith(wanted)]
    near = near or difflib.get_close_matches(wanted, folded, n=1)
    return f" Did you mean {folded[near[0]]!r}?" if near else ""


def split_names(text: str, known: Iterable[str]) -> list[str]:
    """Split names at commas, except within known names, which may contain commas.

    Args:
        text: Names separated by commas.
        known: Names; the longest one is taken, in any case.

    Example:
        >>> split_names("Cat, Violin, fiddle", ["Cat", "Violin, fiddle"])
        ['Cat', 'Violin, fiddle']
    """
    folded = {name.casefold() for name in known}
    parts = [part.strip() for part in text.split(",")]
    names: list[str] = []
    while parts:
        counts = range(len(parts), 1, -1)
        count = next((n for n in counts if ", ".join(parts[:n]).casefold() in folded), 1)
        names.append(", ".join(parts[:count]))
        del parts[:count]
    return [name for name in names if name]


def valid_unicode(name: str | bytes | os.PathLike) -> str:
    """Escapes the bytes of a file name that are not valid UTF-8.

    Control characters are kept. Use `printable` for text that is shown to people.

    Example:
        >>> valid_unicode(b"dog\\xff.mp4")
        'dog\\\\xff.mp4'
    """
    try:
        return os.fsencode(name).decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:
        # A surrogate that no file name contains, but a label may.
        return os.fspath(name).encode("utf-8", "backslashreplace").decode("utf-8")  # type: ignore[union-attr]


def printable(name: str | bytes | os.PathLike) -> str:
    """Escapes everything in a name that a terminal or a page cannot show safely.

    Args:
        name: A file name, label or message of any origin, also as `os.fsdecode` gives it.

    Returns:
        The text, with escapes for bytes that are not UTF-8, for control characters such as line
        breaks, and for marks that reverse the direction of the following text.

    Example:
        >>> printable("two\\nlines.mp4")
        'two\\\\nlines.mp4'
    """
    return "".join(
        letter
        if letter.isprintable() or letter in _JOINERS
        else letter.encode("unicode_escape").decode("ascii")
        for letter in valid_unicode(name)
    )


def one_line(text: str) -> str:
    """Text for one line: white space becomes one space, unprintable characters a question mark."""
    text = " ".join(valid_unicode(text).split())
    return "".join(letter if letter.isprintable() else "?" for letter in text)
