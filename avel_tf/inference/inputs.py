"""Input files of a run."""

from __future__ import annotations

import os
from collections.abc import Iterable

from avel_tf.utils.text import printable
from avel_tf.video.video_files import is_sidecar_name, is_video_name, similar_name


def find_inputs(paths: Iterable[str], *, skipped: list[str] | None = None) -> list[str]:
    """Find the files that paths name, and the videos in the folders that they name.

    Links to folders are not followed. Links to files are listed; the decoder refuses them unless
    `media.follow_links` is set. macOS sidecar files `._x.mp4` in folders are left out.

    Args:
        paths: Files and folders, as `os.fsdecode` gives them. One that does not exist is listed as
            well, and gets a result of its own.
        skipped: Receives the paths of the sidecar files.

    Returns:
        Paths, each file once, under the name it has first: files in the order of `paths`, those of
        a folder in the order of the bytes of their paths.
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


def require_inputs(paths: list[str], *, skipped: list[str] | None = None) -> list[str]:
    """Find inputs as `find_inputs` does, and refuse paths without any.

    Raises:
        ValueError: None of the paths exists, or no folder among them holds a video.
    """
    named = ", ".join(map(printable, paths))
    if not any(os.path.lexists(path) for path in paths):
        near = similar_name(paths[0])
        hint = f". The nearest name there is {near!r}." if near else ""
        raise ValueError(f"There is no such file or folder: {named}{hint}")
    skipped = [] if skipped is None else skipped
    inputs = find_inputs(paths, skipped=skipped)
    if not inputs:
        hint = f", only {len(skipped)} macOS sidecar files named ._*" if skipped else ""
        raise ValueError(f"There are no video files in {named}{hint}.")
    return inputs


def _videos_below(folder: str) -> list[str]:
    videos = []
    for root, _, files in os.walk(folder):  # does not follow links to folders
        videos += [os.path.join(root, name) for name in files if is_video_name(name)]
    return sorted(videos, key=os.fsencode)
