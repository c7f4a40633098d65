"""The one error that media raises about a file."""

from __future__ import annotations

import os

from avel_tf.utils.text import printable


class MediaError(Exception):
    """A file from which no clip can be had; `str()` is a sentence that names file and cause.

    Args:
        path: The file, as the caller named it.
        cause: What is wrong with it and what to do, in words, without the file name.

    Example:
        >>> str(MediaError("a.mp4", "it is empty"))
        'Cannot read "a.mp4": it is empty.'
    """

    def __init__(self, path: str | bytes | os.PathLike, cause: str) -> None:
        # Both go into `args`, so that the error survives the pickle out of a child process.
        super().__init__(path, cause)
        self.path = path
        self.cause = cause

    def __str__(self) -> str:
        return f'Cannot read "{printable(self.path)}": {self.cause}.'
