"""Names of video files: recognised suffixes, and look-up of the file that a name refers to."""

from __future__ import annotations

import difflib
import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

# Suffixes of the files that are taken from folders. Files named on the command line need none of
# them. The container is identified by content when a file is opened.
VIDEO_SUFFIXES = frozenset(
    (
        *(".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg"),
        *(".ts", ".mts", ".m2ts", ".flv", ".wmv", ".asf", ".3gp", ".3g2", ".ogv"),
    )
)
# macOS stores metadata of x.mp4 in a sidecar file ._x.mp4 on foreign file systems (AppleSingle and
# AppleDouble Formats, RFC 1740).
SIDECAR_PREFIX = "._"
# Folders of up to this many files are searched for a similar name, at 0.1 ms for each file.
_SEARCHED_FILES = 1_000
# A drive or a share of Windows: C:\clips, \\server\clips.
_WINDOWS_ROOT = re.compile(r"[A-Za-z]:[\\/]|\\\\")


class AmbiguousNameError(ValueError):
    """A name that several files match, none of them exactly."""


def is_video_name(name: str) -> bool:
    """Return True if the name is that of a video file."""
    return os.path.splitext(name)[1].lower() in VIDEO_SUFFIXES


def is_sidecar_name(name: str) -> bool:
    """Return True if the name is that of a macOS sidecar file (`._name`)."""
    return name.startswith(SIDECAR_PREFIX)


class VideoFolder:
    """Look-up of the files below a folder by the names in annotations.

    A name without an exact match still finds a file that differs only

    - in how its accents are encoded (NFC or NFD; macOS writes the latter),
    - in the capitals of its suffix (`a.MP4` for `a.mp4`),
    - by lacking the suffix (`a` for `a.mp4`),
    - in writing `\\` for `/`, or
    - in being an absolute Windows path (`C:\\data\\clips\\a.mp4` for `clips/a.mp4`).

    Other differences in case count, because identifiers of YouTube may differ in nothing else. Each
    folder is listed once: a look-up per name would take minutes on a network file system.

    Args:
        folder: Folder to which names are relative.

    Example:
        >>> VideoFolder(Path("data")).find("clips\\\\a")
        PosixPath('data/clips/a.mp4')
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self._listings: dict[str, _Listing | None] = {}
        self._moved: dict[str, str] = {}  # files found by a Windows path, to that path

    def find(self, name: str) -> Path | None:
        """Finds the file that a name refers to.

        Args:
            name: A path, relative to the folder or absolute.

        Returns:
            The file, or None.

        Raises:
            AmbiguousNameError: Several files match, none of them exactly; or a file matches two
                Windows paths.
        """
        for number, reading in enumerate(_readings(name)):
            found = self._find(os.path.normpath(self.folder / reading))
            if found is None:
                continue
            if number and _WINDOWS_ROOT.match(name):
                other = self._moved.setdefault(found, name)
                if _folded(other) != _folded(name):
                    raise AmbiguousNameError(
                        f"{other!r} and {name!r} may both mean {reading!r}; use paths relative "
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
        """Finds a folder whose accents may be encoded differently on the disk."""
        listing = self._listing(folder)
        if listing is not None:
            return folder, listing
        real = self._find_folder(folder)
        return (folder, None) if real is None else (real, self._listing(real))

    def _listing(self, folder: str) -> _Listing | None:
        if folder not in self._listings:
            try:
                self._listings[folder] = _Listing(os.listdir(folder))
            except OSError:  # raised again when the file is opened
                self._listings[folder] = None
        return self._listings[folder]


def similar_name(path: str | bytes | os.PathLike) -> str | None:
    """Most similar name in the folder of a missing file.

    Args:
        path: The missing file.

    Returns:
        The name, or None.

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
    """Maps folded names, of videos also without suffix, to the file names of a folder."""
    names: dict[str, str] = {}
    for name in sorted(os.listdir(folder)):
        if is_sidecar_name(name):
            continue
        names.setdefault(_folded(name), name)
        if is_video_name(name):
            names.setdefault(_folded(os.path.splitext(name)[0]), name)
    return names


def _readings(name: str) -> Iterator[str]:
    """Yields the paths that a name can mean, the most literal one first."""
    yield name
    if "\\" not in name and not _WINDOWS_ROOT.match(name):
        return
    parts = [part for part in re.split(r"[\\/]+", name) if part]
    if not parts or parts[-1] in (os.curdir, os.pardir):
        return
    if not _WINDOWS_ROOT.match(name):
        yield "/".join(parts)
        return
    # The folder was elsewhere on that machine, so every tail of the path is tried, longest first.
    yield from ("/".join(parts[start:]) for start in range(1, len(parts)))


class _Listing:
    """Names in one folder, indexed by how much of them must match."""

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
        """The entry that matches the name best."""
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
        """The entry that differs from the name at most in its encoding."""
        fitting = self._encoded.get(_composed(name))
        return name if name in self._names else _only(name, fitting) if fitting else None


def _only(name: str, fitting: list[str]) -> str:
    if len(fitting) > 1:
        raise AmbiguousNameError(
            f"{name!r} matches {' and '.join(map(repr, fitting))}; write the exact name"
        )
    return fitting[0]


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _folded(name: str) -> str:
    return _composed(name).casefold()
