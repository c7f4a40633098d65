"""Input files of a run."""

from __future__ import annotations

import os
from collections.abc import Iterable

from avel_tf.video.video_files import is_sidecar_name, is_video_name


def find_inputs(paths: Iterable[str], *, skipped: list[str] | None = None) -> list[str]:
    """The files that a command line names, and the videos in the folders that it names.

    Links to folders are not entered; links to files are listed, and it is for the decoder to
    refuse them. Files `._x.mp4`, in which a Mac notes something about `x.mp4`, are left out.

    Args:
        paths: Files and folders, as `os.fsdecode` gives them. One that does not exist is listed
            too: it gets its line among the results like every other.
        skipped: Gets the paths of the files of a Mac that were left out.

    Returns:
        Paths, each file once, as it is named first: in the order of the command line, a folder's
        in the order of their bytes.
    """
    found: dict[str, str] = {}  # by absolute path: `x.mp4` and `./x.mp4` are one file
    for path in paths:
        if not os.path.isdir(path):
            found.setdefault(os.path.abspath(path), path)
            continue
        for video in _videos_below(path):
            if not is_sidecar_name(os.path.basename(video)):
                found.setdefault(os.path.abspath(video), video)
            elif skipped is not None and video not in skipped:
                skipped.append(video)
    return list(found.values())


def _videos_below(folder: str) -> list[str]:
    videos = []
    for root, _, files in os.walk(folder):  # does not follow links to folders
        videos += [os.path.join(root, name) for name in files if is_video_name(name)]
    return sorted(videos, key=os.fsencode)
