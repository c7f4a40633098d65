"""Which files a run is about."""

from __future__ import annotations

import os
from collections.abc import Iterable

# By these endings a file in a folder is taken for a video; what it really is, its content says
# when it is opened. A file that is named on the command line needs no such ending.
VIDEO_SUFFIXES = frozenset(
    (
        *(".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg"),
        *(".ts", ".mts", ".m2ts", ".flv", ".wmv", ".asf", ".3gp", ".3g2", ".ogv"),
    )
)


def find_inputs(paths: Iterable[str]) -> list[str]:
    """The files that a command line names, and the videos in the folders that it names.

    Links to folders are not entered; links to files are listed, and it is for the decoder to
    refuse them.

    Args:
        paths: Files and folders, as `os.fsdecode` gives them. One that does not exist is listed
            too: it gets its line among the results like every other.

    Returns:
        Paths, each once: in the order of the command line, a folder's in the order of their bytes.
    """
    found: dict[str, None] = {}
    for path in paths:
        if os.path.isdir(path):
            found.update(dict.fromkeys(_videos_below(path)))
        else:
            found[path] = None
    return list(found)


def _videos_below(folder: str) -> list[str]:
    videos = []
    for root, _, files in os.walk(folder):  # does not follow links to folders
        videos += [
            os.path.join(root, name)
            for name in files
            if os.path.splitext(name)[1].lower() in VIDEO_SUFFIXES
        ]
    return sorted(videos, key=os.fsencode)
