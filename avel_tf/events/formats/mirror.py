"""Paths of per-video output files, all below one folder whatever the video's name."""

from __future__ import annotations

import hashlib
import os
import unicodedata
from pathlib import PurePosixPath

# A name may have 255 bytes on common file systems; this leaves room for the hash and the ending.
LONGEST_NAME_BYTES = 200
# Linux opens no path of 4,096 bytes; this leaves room for the folder in front.
LONGEST_PATH_BYTES = 2_000
HASH_LETTERS = 16

# Letters that Windows refuses in a name, or that a shell or a web server may take for something
# else.
FORBIDDEN = set('<>:"\\|?*')


class Mirror:
    """Hands out one relative path per video, like the video's own where that is safe.

    A part of the path that is not safe (`..`, a control character, bytes that are no UTF-8, a
    name that is too long) is replaced or shortened and ends in a hash of the original. No two
    calls get the same path, also not on a file system that does not tell capitals apart.

    Args:
        ending: What the file's name ends in, such as ".vtt".

    Example:
        >>> mirror = Mirror(".vtt")
        >>> mirror.place("/videos/dog.mp4")
        PurePosixPath('videos/dog.mp4.vtt')
    """

    def __init__(self, ending: str) -> None:
        self.ending = ending
        self._taken: set[str] = set()

    def place(self, video: str) -> PurePosixPath:
        """The path of the file about a video.

        Args:
            video: The video's path as `os.fsdecode` gives it.

        Returns:
            A relative path without `..`, different from all that were handed out before.
        """
        # The empty parts are the root and doubled slashes; a dot is the folder itself.
        parts = [part for part in video.split("/") if part not in ("", ".")] or ["_"]
        parts = [self._safe(part) for part in parts]
        if sum(len(part.encode()) + 1 for part in parts) > LONGEST_PATH_BYTES:
            parts = [_with_hash(parts[-1], video)]
        place = PurePosixPath(*parts[:-1], parts[-1] + self.ending)
        attempt = 0
        while _as_any_file_system(place) in self._taken:
            # The number gives a video that is listed twice two places.
            name = _with_hash(parts[-1], f"{video}\0{attempt}")
            place = PurePosixPath(*parts[:-1], name + self.ending)
            attempt += 1
        self._taken.add(_as_any_file_system(place))
        return place

    def _safe(self, part: str) -> str:
        safe = "".join(
            letter if letter.isprintable() and letter not in FORBIDDEN else "_" for letter in part
        )
        # A leading dot hides the file (and `..` leaves the folder); Windows drops a dot or a
        # space at the end; a folder that ends as the files do could stand where a file shall.
        if safe.startswith(".") or safe.endswith((".", " ")):
            safe = safe.strip(". ")
        ends_as_files = safe.casefold().endswith(self.ending)
        too_long = len(safe.encode()) > LONGEST_NAME_BYTES
        return _with_hash(safe, part) if safe != part or ends_as_files or too_long else safe


def _with_hash(name: str, original: str) -> str:
    digest = hashlib.sha256(original.encode("utf-8", "surrogatepass")).hexdigest()
    # Cut between letters, not inside of one.
    short = name.encode()[: LONGEST_NAME_BYTES - HASH_LETTERS - 1].decode("utf-8", "ignore")
    return f"{short}~{digest[:HASH_LETTERS]}"


def _as_any_file_system(place: PurePosixPath) -> str:
    # macOS and Windows do not tell capitals apart, macOS not how an accent is composed.
    return unicodedata.normalize("NFC", os.fspath(place).casefold())
