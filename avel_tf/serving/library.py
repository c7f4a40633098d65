"""Library of videos: files, results, analyses and corrections in the folders of the server."""

from __future__ import annotations

import functools
import os
import shutil
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from avel_tf.events.event import Event
from avel_tf.events.result import Result
from avel_tf.serving.analysis import Analysis
from avel_tf.serving.annotations import Annotations
from avel_tf.serving.errors import ApiError
from avel_tf.serving.state import WAITING, State, Video
from avel_tf.serving.train_job import WORK_PREFIX, Corrections
from avel_tf.utils.durable_files import WRITING, RunLock


class Library:
    """Videos with their files, results, analyses and corrections.

    Args:
        data: Folder of videos; server paths may only point inside it.
        state: Folder of everything else. One library at a time may use it.
        follow_links: Open symbolic links in the folder of videos that stay inside it.

    Attributes:
        data: Absolute path of the folder of videos.
        folder: Absolute path of the state folder.
        state: Videos and jobs.
        annotations: Corrections.

    Raises:
        BlockingIOError: Another server uses the state folder.
        OSError: A folder cannot be created.
        ValueError: A file of the state is damaged.
    """

    def __init__(self, data: Path, state: Path, *, follow_links: bool) -> None:
        self.data, self.folder = data.resolve(), state.resolve()
        self._follow_links = follow_links
        folders = (self.data, self.folder, self.folder / "uploads", self.folder / "analysis")
        for folder in folders:
            folder.mkdir(parents=True, exist_ok=True)
        try:
            self._lock = RunLock(self.folder / "lock")
        except BlockingIOError as error:
            raise BlockingIOError(
                f"Another server (process {error or 'unknown'}) uses {self.folder}. Stop it, or "
                "give another folder with --state."
            ) from None
        self._lock.mark("open")
        self.state = State(self.folder / "state.sqlite")
        self.annotations = Annotations(self.folder / "annotations.csv")

    def close(self) -> None:
        """Close the state and let another server use it."""
        self.state.close()
        self._lock.mark("shut")
        self._lock.release()

    def video(self, video: str) -> Video:
        """The video of an identifier.

        Raises:
            ApiError: There is none.
        """
        found = self.state.video(video)
        if found is None:
            raise ApiError(404, f"There is no video {video!r}.")
        return found

    def file_of(self, video: Video) -> Path:
        """The file of a video.

        Raises:
            ApiError: It was removed, or points outside the data folder now.
        """
        if video.source == "folder":
            return self.file_in_data(video.path)
        path = self.folder / video.path
        if not path.is_file():
            raise ApiError(404, f"The file of {video.name!r} was removed.")
        return path

    def file_in_data(self, text: str) -> Path:
        """A file in the data folder.

        Args:
            text: Path relative to the folder.

        Raises:
            ApiError: The path leads outside, or there is no such file.
        """
        # JSON cannot hold names that are not Unicode.
        if not text or not text.isprintable():
            raise ApiError(404, f"There is no file {text!r} in the server's folder.")
        try:
            path = self.data / text
            real = path.resolve()
            is_file = real.is_file()
        except (OSError, ValueError, RuntimeError):  # such as a name that is too long
            raise ApiError(
                404, f"There is no file {text[:200]!r} in the server's folder."
            ) from None
        if not real.is_relative_to(self.data) or real.is_relative_to(self.folder):
            raise ApiError(403, "The path leads outside the server's folder (--data).")
        if not is_file:
            raise ApiError(404, f"There is no file {text!r} in the server's folder.")
        if real != path.absolute() and not self._follow_links:
            raise ApiError(403, "The path contains a link or '..'; give the real path.")
        return real

    def csv_path(self, video: Video) -> str:
        """Path of a video in `annotations.csv`, relative to the state folder."""
        if video.source == "folder":
            return os.path.relpath(self.data / video.path, self.folder)
        return video.path

    def analysis_path(self, video: str) -> Path:
        """File of the analysis of a video."""
        return self.folder / "analysis" / f"{video}.npz"

    def analysis(self, video: str) -> Analysis:
        """Analysis of a video.

        Raises:
            ApiError: There is no such video, or it is not labelled.
        """
        found = self.video(video)
        try:
            return Analysis(self.analysis_path(video))
        except FileNotFoundError:
            raise ApiError(404, f"{found.name!r} is not labelled ({found.status}).") from None

    def result(self, video: Video) -> Result:
        """Result of a video.

        Raises:
            ApiError: It is not labelled.
        """
        found = _stored_result(self.state, video)
        if found is None:
            raise ApiError(404, f"{video.name!r} is not labelled ({video.status}).")
        return found

    def store_result(self, video: str, record: str, **values: Any) -> Video | None:
        """Store the JSON line of a result; see `State.store_result`."""
        stored = self.state.store_result(video, record, **values)
        _stored_result.cache_clear()
        return stored

    def events(self, video: Video) -> tuple[Event, ...]:
        """Events of the model in a video; none before it is labelled."""
        found = _stored_result(self.state, video)
        return found.events if found else ()

    def public(self, video: Video) -> dict[str, Any]:
        """A video as the API shows it."""
        record = asdict(video)
        del record["path"]
        return {**record, "corrected": self.annotations.has(self.csv_path(video))}

    def corrections(self) -> tuple[Corrections, Corrections]:
        """Labelled videos with corrections, and those without; see `teaching.Request`."""
        corrected: Corrections = []
        others: Corrections = []
        for video in self.state.videos():
            path, name = self.analysis_path(video.id), self.csv_path(video)
            if path.exists():
                rows = self.annotations.of(name, self.events(video))
                group = corrected if self.annotations.has(name) else others
                group.append((video.id, str(path), rows))
        return corrected, others

    def delete(self, video: Video) -> None:
        """Remove a video with its upload and analysis; its corrections stay."""
        self.state.remove_video(video.id)
        paths = [self.analysis_path(video.id)]
        if video.source == "upload":
            paths.append(self.folder / video.path)
        for path in paths:
            path.unlink(missing_ok=True)

    def recover(self) -> None:
        """Remove what a killed server left behind, and queue its running jobs."""
        self.state.requeue()
        for path in self.folder.glob(f"{WORK_PREFIX}*"):
            shutil.rmtree(path, ignore_errors=True)
        known = {video.id for video in self.state.videos()}
        for folder in ("uploads", "analysis"):
            for path in (self.folder / folder).iterdir():
                if path.name.startswith(WRITING) or path.stem not in known:
                    path.unlink(missing_ok=True)

    def purge(self, keep_seconds: float) -> None:
        """Remove uploads after their time, unless they have corrections or wait for a job."""
        before = time.time() - keep_seconds
        for video in self.state.videos():
            path = self.folder / video.path
            if (
                video.source == "upload"
                and video.status not in WAITING
                and not self.annotations.has(self.csv_path(video))
                and (not path.exists() or path.stat().st_mtime < before)
            ):
                self.delete(video)


# The result of an hour takes half a second to parse, and the page asks for its parts again and
# again.
@functools.lru_cache(maxsize=16)
def _stored_result(state: State, video: Video) -> Result | None:
    record = state.result(video.id)
    return Result.from_json(record) if record else None
