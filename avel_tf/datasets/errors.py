"""Error of a data set that cannot be read."""

from __future__ import annotations


class DatasetError(ValueError):
    """A data set cannot be read; the message is a sentence with the file and the line."""
