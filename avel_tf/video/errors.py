"""Error of a media file that cannot be decoded."""

from __future__ import annotations

import os

from avel_tf.utils.text import printable


class MediaError(Exception):
    """A file or stream that cannot be decoded; `str()` is a sentence with file and cause.

    Args:
        path: The file, as the caller named it.
        cause: Cause and remedy, without the file name and the final period.

    Example:
        >>> str(MediaError("a.mp4", "it is empty"))
        'Cannot read "a.mp4": it is empty.'
    """

    def __init__(self, path: str | bytes | os.PathLike, cause: str) -> None:
        # Both are in `args`, so that the error can be pickled.
        super().__init__(path, cause)
        self.path = path
        self.cause = cause

    def __str__(self) -> str:
        return f'Cannot read "{printable(self.path)}": {self.cause}.'
