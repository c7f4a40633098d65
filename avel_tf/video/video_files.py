"""Names of video files: which files are videos, and which file a written name means."""

from __future__ import annotations

import difflib
import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

# Files with these endings are videos; what such a file really is, its content decides when it is
# opened. A file that is named on the command line needs no such ending.
VIDEO_SUFFIXES = frozenset(
    (
        *(".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg"),
        *(".ts", ".mts", ".m2ts", ".flv", ".wmv", ".asf", ".3gp", ".3g2", ".ogv"),
    )
)
# On disks that are not its own a Mac keeps what it notes about x.mp4 in a file ._x.mp4
# (AppleSingle and AppleDouble Formats, RFC 1740).
SIDECAR_PREFIX = "._"
# Folders of this many files are searched for a similar name: that takes 0.1 ms for each file.
_SEARCHED_FILES = 1_000
# A drive or a share of Windows: C:\clips, \\server\clips.
_WINDOWS_ROOT = re.compile(r"[A-Za-z]:[\\/]|\\\\")


class AmbiguousNameError(ValueError):
    """A written name that several files could be meant by."""


def is_video_name(name: str) -> bool:
    """Return True if the name is that of a video file."""
    return os.path.splitext(name)[1].lower() in VIDEO_SUFFIXES


def is_sidecar_name(name: str) -> bool:
    """Return True if the name is that of a macOS sidecar file (`._name`)."""
    return name.startswith(SIDECAR_PREFIX)


class VideoFolder:
    """The files below a folder, found by the names that annotations give them.

    A name that is not there exactly is still found where it differs from one file only

    - in how its accents are encoded (NFC or NFD; a Mac writes the latter),
    - in the capitals of its suffix (`a.MP4` for `a.mp4`),
    - by lacking the suffix (`a` for `a.mp4`),
    - in writing `\\` for `/`, or
    - in being the path of a machine with Windows (`C:\\data\\clips\\a.mp4` for `clips/a.mp4`).

    Other capitals are not overlooked, because identifiers of YouTube differ in nothing else.
    Each folder is listed once: a look-up per name would take minutes on a network disk.

    Args:
        folder: The folder that relative names start from.

    Example:
        >>> VideoFolder(Path("data")).find("clips\\\\a")
        PosixPath('data/clips/a.mp4')
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self._listings: dict[str, _Listing | None] = {}
        self._moved: dict[str, str] = {}  # files found by a path of another machine, to that path

    def find(self, name: str) -> Path | None:
        """Finds the file that a name means.

        Args:
            name: A path, relative to the folder or absolute.

        Returns:
            The file; None when there is none.

        Raises:
            AmbiguousNameError: Several files fit, none of them exactly; or a file fits two paths
                of another machine.
        """
        for number, reading in enumerate(_readings(name)):
            found = self._find(os.path.normpath(self.folder / reading))
            if found is None:
                continue
            if number and _WINDOWS_ROOT.match(name):
                other = self._moved.setdefault(found, name)
                if _folded(other) != _folded(name):
                    raise AmbiguousNameError(
                        f"{other!r} and {name!r} may both mean {reading!r}; write paths relative "
                        f"to {self.folder}"
                    )
            return Path(found)
        return None

    def _find(self, path: str) -> str | None:
        above, name = os.path.split(path)
        if not name:
            return path  # the root
        folder, listing = self._real_folder(above)
        found = listing.find(name) if listing is not None else None
        return None if found is None else os.path.join(folder, found)

    def _find_folder(self, path: str) -> str | None:
        above, name = os.path.split(path)
        if not name:
            return path
        folder, listing = self._real_folder(above)
        found = listing.find_encoded(name) if listing is not None else None
        return None if found is None else os.path.join(folder, found)

    def _real_folder(self, folder: str) -> tuple[str, _Listing | None]:
        """A folder as it is spelled on the disk, where accents can be encoded in another way."""
        listing = self._listing(folder)
        if listing is not None:
            return folder, listing
        real = self._find_folder(folder)
        return (folder, None) if real is None else (real, self._listing(real))

    def _listing(self, folder: str) -> _Listing | None:
        if folder not in self._listings:
            try:
                self._listings[folder] = _Listing(os.listdir(folder))
            except OSError:  # whoever opens the file says why
                self._listings[folder] = None
        return self._listings[folder]


def similar_name(path: str | bytes | os.PathLike) -> str | None:
    """The name of a file that could be meant by one that is missing.

    Args:
        path: The file that is not there.

    Returns:
        The nearest name in the same folder, or None.

    Example:
        >>> similar_name("clips/dog.mp4")
        'Dog.mkv'
    """
    folder, name = os.path.split(os.fsdecode(path))
    folder = folder or os.curdir
    try:
        names = _names_in(folder, os.stat(folder).st_mtime_ns)
    except (OSError, ValueError):
        return None
    folded = _folded(name)
    if near := names.get(folded) or names.get(os.path.splitext(folded)[0]):
        return near
    if len(names) > _SEARCHED_FILES:
        return None
    return next((names[each] for each in difflib.get_close_matches(folded, names, n=1)), None)


@lru_cache(maxsize=8)
def _names_in(folder: str, changed: int) -> dict[str, str]:
    """The files of a folder by their folded names, and videos by those without suffix, too."""
    names: dict[str, str] = {}
    for name in sorted(os.listdir(folder)):
        if is_sidecar_name(name):
            continue
        names.setdefault(_folded(name), name)
        if is_video_name(name):
            names.setdefault(_folded(os.path.splitext(name)[0]), name)
    return names


def _readings(name: str) -> Iterator[str]:
    """The paths that a name can stand for, the most literal one first."""
    yield name
    if "\\" not in name and not _WINDOWS_ROOT.match(name):
        return
    parts = [part for part in re.split(r"[\\/]+", name) if part]
    if not parts or parts[-1] in (os.curdir, os.pardir):
        return
    if not _WINDOWS_ROOT.match(name):
        yield "/".join(parts)
        return
    # The folder lay elsewhere, so the name is looked for from here: the longest part first.
    yield from ("/".join(parts[start:]) for start in range(1, len(parts)))


class _Listing:
    """The names in one folder, by how much of them must agree."""

    def __init__(self, names: list[str]) -> None:
        self._names = set(names)
        self._encoded: dict[str, list[str]] = defaultdict(list)
        self._by_suffix: dict[str, list[str]] = defaultdict(list)
        self._by_stem: dict[str, list[str]] = defaultdict(list)
        for name in sorted(names):
            if is_sidecar_name(name):
                continue
            stem, suffix = os.path.splitext(_composed(name))
            self._encoded[stem + suffix].append(name)
            self._by_suffix[stem + suffix.lower()].append(name)
            if is_video_name(name):
                self._by_stem[stem].append(name)

    def find(self, name: str) -> str | None:
        """The entry that is most like the name."""
        if name in self._names:
            return name
        stem, suffix = os.path.splitext(_composed(name))
        for fitting in (
            self._encoded.get(stem + suffix),
            self._by_suffix.get(stem + suffix.lower()),
            self._by_stem.get(stem + suffix),
        ):
            if fitting:
                return _only(name, fitting)
        return None

    def find_encoded(self, name: str) -> str | None:
        """The entry that differs from the name in nothing but its encoding."""
        fitting = self._encoded.get(_composed(name))
        return name if name in self._names else _only(name, fitting) if fitting else None


def _only(name: str, fitting: list[str]) -> str:
    if len(fitting) > 1:
        raise AmbiguousNameError(
            f"{name!r} may mean {' or '.join(map(repr, fitting))}; write out the one that is meant"
        )
    return fitting[0]


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _folded(name: str) -> str:
    return _composed(name).casefold()
