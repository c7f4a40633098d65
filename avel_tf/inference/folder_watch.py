"""Watched folders: the files that have stopped growing."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

from avel_tf.inference.inputs import find_inputs
from avel_tf.inference.settings import WatchSettings
from avel_tf.video.decode import DecodeSettings, read_header
from avel_tf.video.errors import MediaError

logger = logging.getLogger(__name__)

# The part of a name before its suffix, by which programs mark files that they still write:
# `film.temp.mp4` of yt-dlp. Names that end so, as `film.mp4.part` of Firefox, curl and yt-dlp,
# `.crdownload` of Chromium and `.tmp` of rsync, Syncthing and Dropbox, are no videos by their
# suffix.
PARTIAL_MARKS = frozenset((".part", ".partial", ".crdownload", ".download", ".tmp", ".temp"))


class _State(NamedTuple):
    """Size and modification time (ns) of a file, and the time since which they are the same."""

    size: int
    modified: int
    since: float


class FolderWatch:
    """Finds new and changed files below folders by listing them again and again.

    Listing also works on network shares, which send no notifications. A file is ready once its size
    and modification time have not changed for `settle_seconds` and its header can be read. One
    whose header cannot be read is ready after `patience_seconds`, as it may be broken. Empty files
    and files named as unfinished downloads are never ready.

    Args:
        folders: The folders, of any depth.
        settings: Times.
        media: Limits of the decoder.
        is_done: Returns True for a file that is labelled and unchanged since.
        clock: Time in seconds, of any origin.

    Example:
        >>> watch = FolderWatch(["inbox"], WatchSettings(), DecodeSettings(), journal.is_done)
        >>> watch.ready()
        ['inbox/dog.mp4']
    """

    def __init__(
        self,
        folders: Sequence[str],
        settings: WatchSettings,
        media: DecodeSettings,
        is_done: Callable[[str], bool],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folders = folders
        self._settings = settings
        # The journal has no attempt at the file yet, so a file that crashes its reader would
        # otherwise end every run.
        self._media = replace(media, isolated=True)
        self._is_done = is_done
        self._clock = clock
        self._growing: dict[str, _State] = {}
        self._done: dict[str, _State] = {}

    def ready(self) -> list[str]:
        """List the folders.

        Returns:
            The files that are ready, in the order of `find_inputs`, until they are done.
        """
        growing: dict[str, _State] = {}
        done: dict[str, _State] = {}
        ready = []
        now = self._clock()
        for path in find_inputs(self._folders):
            try:
                found = os.stat(path, follow_symlinks=self._media.follow_links)
            except OSError:  # it was removed or renamed since it was listed
                continue
            if not found.st_size or is_partial_name(path):
                continue
            state = _State(found.st_size, found.st_mtime_ns, now)
            if _same(self._done.get(path), state) or self._is_done(path):
                done[path] = state
                continue
            before = self._growing.get(path)
            if before is not None and _same(before, state):
                state = before
            growing[path] = state
            if self._has_settled(path, state, now):
                ready.append(path)
        self._growing, self._done = growing, done
        return ready

    def _has_settled(self, path: str, state: _State, now: float) -> bool:
        unchanged = now - state.since
        if unchanged < self._settings.settle_seconds:
            return False
        # By its modification time an old file need not be observed for as long.
        age = max(unchanged, time.time() - state.modified / 1e9)
        return age >= self._settings.patience_seconds or self._can_be_opened(path)

    def _can_be_opened(self, path: str) -> bool:
        try:
            read_header(path, self._media)
        except MediaError as error:
            logger.info("%s It may still be written; it is tried again.", error)
            return False
        return True


def is_partial_name(path: str) -> bool:
    """Return True if a video's name marks it as unfinished, as `film.temp.mp4` does."""
    stem = os.path.splitext(path)[0]
    return os.path.splitext(stem)[1].lower() in PARTIAL_MARKS


def _same(one: _State | None, other: _State) -> bool:
    return one is not None and one[:2] == other[:2]
