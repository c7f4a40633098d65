"""File names as a page can show them, and as its links must spell them."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote

from avel_tf.events.formats.text import printable

# They join letters and the parts of an emoji, and cannot turn a name around as U+202E can.
_JOINERS = "\u200c\u200d"


def shown_name(name: str) -> str:
    """A file name, label or reason as text that a page can show.

    Args:
        name: Text of any origin, also as `os.fsdecode` gives it.

    Returns:
        The text, with escapes for bytes that are no UTF-8, control characters and the marks that
        would turn the direction of what follows.

    Example:
        >>> shown_name("two\\nlines.mp4")
        'two\\\\nlines.mp4'
    """
    return "".join(
        letter
        if letter.isprintable() or letter in _JOINERS
        else letter.encode("unicode_escape").decode("ascii")
        for letter in printable(name)
    )


def absolute(video: str, page_folder: Path) -> str:
    """Absolute path of a video named in results.

    Args:
        video: The path in the results. A relative one was meant from where `avel infer` ran:
            that is tried from here first, then from the page's folder.
        page_folder: The folder of the page.

    Returns:
        An absolute path. Links are not followed: a browser does not follow them either when it
        takes `..` off an address.
    """
    here = os.path.abspath(video)
    beside = os.path.abspath(os.path.join(page_folder, video))
    return beside if not os.path.lexists(here) and os.path.lexists(beside) else here


def relative_url(video: str, page_folder: Path) -> str:
    """The address of a video as a page in a folder must write it.

    Args:
        video: The path in the results, as `os.fsdecode` gives it.
        page_folder: The folder of the page.

    Returns:
        A relative URL, every byte that means something in a URL percent-encoded.

    Example:
        >>> relative_url("/videos/50 % #1.mp4", Path("/results"))
        '../videos/50%20%25%20%231.mp4'
    """
    relative = os.path.relpath(absolute(video, page_folder), os.path.abspath(page_folder))
    return quote(_bytes_of(relative), safe="/")


def _bytes_of(name: str) -> bytes:
    try:
        return os.fsencode(name)
    except UnicodeEncodeError:
        # A surrogate that stands for no byte: no file is called so, and the link leads nowhere.
        return name.encode("utf-8", "replace")
