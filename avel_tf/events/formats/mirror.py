"""Paths of per-video output files, all below one folder whatever the video's name."""

from __future__ import annotations

import hashlib
import os
import unicodedata
from pathlib import PurePosixPath

# Common file systems allow names of 255 bytes; this leaves room for the hash and the suffix.
LONGEST_NAME_BYTES = 200
# Linux opens no path of 4,096 bytes or more; this leaves room for the parent folder.
LONGEST_PATH_BYTES = 2_000
HASH_LETTERS = 16

# Letters that Windows does not allow in a name, or that have a meaning for shells or web servers.
FORBIDDEN = set('<>:"\\|?*')


class Mirror:
    """Assigns one relative path per video, like that of the video as far as it is safe.

    An unsafe part of the path (`..`, a control character, bytes that are not UTF-8, a name that is
    too long) is replaced or shortened and ends in a hash of the original. No two calls return the
    same path, not even for file systems that ignore case.

    Args:
        ending: Suffix of the file names, such as ".vtt".

    Example:
        >>> mirror = Mirror(".vtt")
        >>> mirror.place("/videos/dog.mp4")
        PurePosixPath('videos/dog.mp4.vtt')
    """

    def __init__(self, ending: str) -> None:
        self.ending = ending
        self._taken: set[str] = set()

    def place(self, video: str) -> PurePosixPath:
        """Assign the path of the file of a video.

        Args:
            video: Path of the video, as `os.fsdecode` gives it.

        Returns:
            A relative path without `..`, different from all that were returned before.
        """
        # Empty parts come from the root and doubled slashes; a dot is the folder itself.
        parts = [part for part in video.split("/") if part not in ("", ".")] or ["_"]
        parts = [self._safe(part) for part in parts]
        if sum(len(part.encode()) + 1 for part in parts) > LONGEST_PATH_BYTES:
            parts = [_with_hash(parts[-1], video)]
        place = PurePosixPath(*parts[:-1], parts[-1] + self.ending)
        attempt = 0
        while _as_any_file_system(place) in self._taken:
            # The number makes the paths of a video that is listed twice differ.
            name = _with_hash(parts[-1], f"{video}\0{attempt}")
            place = PurePosixPath(*parts[:-1], name + self.ending)
            attempt += 1
        self._taken.add(_as_any_file_system(place))
        return place

    def _safe(self, part: str) -> str:
        safe = "".join(
            letter if letter.isprintable() and letter not in FORBIDDEN else "_" for letter in part
        )
        # A leading dot hides the file, and `..` leaves the folder. Windows drops a trailing dot or
        # space. A folder with the suffix of the files could have the path of a file.
        if safe.startswith(".") or safe.endswith((".", " ")):
            safe = safe.strip(". ")
        ends_as_files = safe.casefold().endswith(self.ending.casefold())
        too_long = len(safe.encode()) > LONGEST_NAME_BYTES
        return _with_hash(safe, part) if safe != part or ends_as_files or too_long else safe


def _with_hash(name: str, original: str) -> str:
    digest = hashlib.sha256(original.encode("utf-8", "surrogatepass")).hexdigest()
    # Cut between characters, not within one.
    short = name.encode()[: LONGEST_NAME_BYTES - HASH_LETTERS - 1].decode("utf-8", "ignore")
    return f"{short}~{digest[:HASH_LETTERS]}"


def _as_any_file_system(place: PurePosixPath) -> str:
    # macOS and Windows ignore case, and macOS ignores how accents are composed.
    return unicodedata.normalize("NFC", os.fspath(place).casefold())
