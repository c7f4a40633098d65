"""File names for display and for links in pages."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote

from avel_tf.utils.storage import is_remote


def absolute(video: str, page_folder: Path) -> str:
    """Absolute path of a video named in results.

    Args:
        video: The path in the results. A relative path is resolved from the current folder first,
            then from the folder of the page.
        page_folder: The folder of the page.

    Returns:
        An absolute path. Symbolic links are kept, because browsers resolve `..` without them. The
        address of a remote file, such as `s3://`, is returned as it is.
    """
    if is_remote(video):
        return video
    here = os.path.abspath(video)
    beside = os.path.abspath(os.path.join(page_folder, video))
    return beside if not os.path.lexists(here) and os.path.lexists(beside) else here


def relative_url(video: str, page_folder: Path) -> str | None:
    """Relative URL of a video from the folder of a page.

    Args:
        video: The path in the results, possibly with surrogates from `os.fsdecode`.
        page_folder: The folder of the page.

    Returns:
        A relative URL with reserved bytes percent-encoded; None for a remote file, because pages
        load nothing from other hosts.

    Example:
        >>> relative_url("/videos/50 % #1.mp4", Path("/results"))
        '../videos/50%20%25%20%231.mp4'
    """
    if is_remote(video):
        return None
    relative = os.path.relpath(absolute(video, page_folder), os.path.abspath(page_folder))
    return quote(_bytes_of(relative), safe="/")


def _bytes_of(name: str) -> bytes:
    try:
        return os.fsencode(name)
    except UnicodeEncodeError:
        # A surrogate outside the range of `os.fsdecode`: no such file can exist.
        return name.encode("utf-8", "replace")
