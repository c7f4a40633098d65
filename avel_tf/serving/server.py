"""The server: its folders, state, jobs and model, shared by all routes."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import shutil
import time
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from prometheus_client import CollectorRegistry, Counter, Histogram

from avel_tf.events.event import Event
from avel_tf.events.result import Result
from avel_tf.serving.analysis import Analysis
from avel_tf.serving.annotations import Annotations
from avel_tf.serving.broadcast import Broadcast
from avel_tf.serving.errors import ApiError
from avel_tf.serving.jobs import JobFailed, Jobs, Progress
from avel_tf.serving.model_process import WORKER, ModelProcess, ModelUnavailable, RequestFailed
from avel_tf.serving.model_worker import ModelSpec
from avel_tf.serving.models import Models
from avel_tf.serving.security import TokenBuckets
from avel_tf.serving.settings import ServingSettings
from avel_tf.serving.state import WAITING, Job, State, Video, new_id, now
from avel_tf.serving.train_job import WORK_PREFIX, Corrections, train
from avel_tf.serving.uploads import Uploads
from avel_tf.utils.durable_files import WRITING, RunLock
from avel_tf.video.decode import read_header
from avel_tf.video.errors import MediaError

_PURGE_SECONDS = 600.0
# Wrong tokens that a client address may send in a minute.
_WRONG_TOKENS = 10


@dataclass(frozen=True)
class ServerOptions:
    """Options of `avel serve`.

    Attributes:
        data: Folder of videos; server paths may only point inside it.
        state: Folder of uploads, results and corrections.
        spec: The model, with the configuration.
        host: Address that the server is bound to.
        token: Token that requests need; None on loopback.
        worker: Module of the model process.
    """

    data: Path
    state: Path
    spec: ModelSpec = field(default_factory=ModelSpec)
    host: str = "127.0.0.1"
    token: str | None = field(default=None, repr=False)
    worker: str = WORKER


class Server:
    """Everything that the routes share. `create_app` starts and stops it.

    Args:
        options: Folders, model and address.

    Attributes:
        options: The same.
        settings: Section `serving` of the configuration.
        state: Videos and jobs.
        annotations: Corrections.
        broadcast: Changes of jobs and videos.
        jobs: The queue.
        models: The models that can be used.
        model: The model process.
        uploads: Reception of uploads.
        wrong_tokens: Limit of wrong tokens of each client.
        metrics: Prometheus registry.

    Raises:
        BlockingIOError: Another server uses the state folder.
        OSError: A folder cannot be created.
        ValueError: A file of the state is damaged.
    """

    def __init__(self, options: ServerOptions) -> None:
        self.options = options
        self.settings: ServingSettings = options.spec.config.serving
        self.data, self.folder = options.data.resolve(), options.state.resolve()
        for folder in (self.data, self.folder, *map(self._in_state, ("uploads", "analysis"))):
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
        self.broadcast = Broadcast()
        self.jobs = Jobs(self.state, self.broadcast, self.settings.queue, self._job_ended)
        self.jobs.add_kind("label", "seconds", self._label)
        self.models = Models(self._in_state("models"), options.spec, self.state)
        self.model = ModelProcess(self.models.spec(self.models.active), worker=options.worker)
        handler = partial(train, self.model, self.models, self.folder, self.corrections)
        self.jobs.add_kind("train", "steps", handler)
        self.uploads = Uploads(
            self._in_state("uploads"),
            max_bytes=self.settings.max_upload_bytes,
            idle_seconds=self.settings.upload_idle_seconds,
            concurrent=self.settings.concurrent_uploads,
        )
        self.wrong_tokens = TokenBuckets(_WRONG_TOKENS)
        self.metrics = CollectorRegistry()
        self.requests = Counter(
            "avel_requests", "Requests.", ("method", "path", "status"), registry=self.metrics
        )
        self.latency = Histogram(
            "avel_request_seconds", "Time to the start of an answer.", ("path",),
            registry=self.metrics,
        )  # fmt: skip
        self.labelled = Counter(
            "avel_labelled_seconds", "Seconds of video labelled.", registry=self.metrics
        )

    @contextlib.asynccontextmanager
    async def running(self, app: FastAPI) -> AsyncIterator[None]:
        """Start everything, and stop it at the end; the lifespan of the application."""
        self.loop = asyncio.get_running_loop()
        await asyncio.to_thread(self._recover)
        self.model.start()
        self.jobs.start()
        purging = asyncio.create_task(self._purge_for_ever())
        try:
            yield
        finally:
            purging.cancel()
            self.broadcast.close()
            await self.jobs.stop()
            await self.model.stop()
            self.state.close()
            self._lock.mark("shut")
            self._lock.release()

    def stop_streams(self) -> None:
        """End the event streams; from the handler of a signal."""
        self.loop.call_soon_threadsafe(self.broadcast.close)

    def _in_state(self, name: str) -> Path:
        return self.folder / name

    # Files

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
        if real != path.absolute() and not self.options.spec.config.media.follow_links:
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

    def events(self, video: Video) -> tuple[Event, ...]:
        """Events of the model in a video; none before it is labelled."""
        found = _stored_result(self.state, video)
        return found.events if found else ()

    def public(self, video: Video) -> dict[str, Any]:
        """A video as the API shows it."""
        record = asdict(video)
        del record["path"]
        return {**record, "corrected": self.annotations.has(self.csv_path(video))}

    # Labelling

    async def open_video(self, video: Video) -> Job:
        """Queue the labelling of a new or known video.

        Raises:
            ApiError: The video is too long, or the queue is full.
        """
        path = self.file_of(video)
        duration = await self.check_duration(path, video.name, self.settings.max_seconds)
        video = replace(video, status="queued", reason=None, duration=duration)
        job = await self.jobs.submit("label", video)
        self.publish(await asyncio.to_thread(self.video, video.id))
        return job

    async def check_duration(self, path: Path, name: str, limit: float) -> float | None:
        """Declared duration of a file, None if it cannot be read; labelling then gives the reason.

        Raises:
            ApiError: It is longer than the limit.
        """
        media = self.options.spec.config.media
        try:
            # Longer files shall get this message and not that of the decoder.
            info = await asyncio.to_thread(
                read_header, str(path), replace(media, max_seconds=float("inf"))
            )
        except MediaError:
            return None
        limit = min(limit, media.max_seconds)
        if info.duration is not None and info.duration > limit:
            raise ApiError(413, self.too_long(name, limit))
        return info.duration

    def too_long(self, name: str, limit: float) -> str:
        """Message about a video that is longer than a limit in seconds."""
        if limit == self.settings.max_synchronous_seconds < self.settings.max_seconds:
            advice = "Send it to POST /api/v1/videos, which answers with a job."
        else:
            advice = "serving.max_seconds and media.max_seconds set the limit."
        return f"{name!r} is longer than {limit:.0f} s. {advice}"

    def new_video(self, source: str, name: str, path: str, size: int, id: str = "") -> Video:
        """A video that is not stored yet."""
        return Video(id or new_id(), name, source, path, size, now())

    def publish(self, video: Video) -> None:
        """Broadcast a video."""
        self.broadcast.publish("video", self.public(video))

    def publish_soon(self, video: Video) -> None:
        """Broadcast a video from a thread."""
        self.loop.call_soon_threadsafe(self.publish, video)

    async def relabel(self) -> list[Job]:
        """Queue the labelling of all labelled videos without corrections, from their features."""
        jobs = []
        for video in await asyncio.to_thread(self.state.videos):
            corrected = self.annotations.has(self.csv_path(video))
            if corrected or not self.analysis_path(video.id).exists():
                continue
            jobs.append(await self.jobs.submit("label", video, {"from_features": True}))
        return jobs

    async def label(self, path: Path, name: str, **options: Any) -> Result:
        """Label a file; see `ModelProcess.label_file` for the options.

        The result has the name that the client knows.

        Raises:
            RequestFailed: The file could not be labelled.
            ModelUnavailable: The model process died twice.
        """
        record = await self.model.label_file(path, **options)
        result = Result.from_json(record)
        reason = result.reason and result.reason.replace(str(path), name)
        return replace(result, video=name, reason=reason)

    async def _label(self, job: Job, progress: Progress) -> None:
        """Handler of `label` jobs."""
        video = self.state.video(job.video or "")
        if video is None:
            raise JobFailed("The video was removed.")
        if not self.model.ready:
            progress(message="Waiting for the model")
        try:
            if (job.parameters or {}).get("from_features"):
                await self._label_again(video)
                return
            path = self.file_of(video)
            changed = await asyncio.to_thread(
                self.state.change_video, video.id, status="running", reason=None
            )
            if changed:
                self.publish(changed)
            result = await self.label(
                path,
                video.name,
                analysis=self.analysis_path(video.id),
                on_progress=lambda seconds: progress(done=seconds, message="Labelling"),
                on_retry=lambda: progress(
                    done=0,
                    message="The model process died; second attempt",
                    attempts=job.attempts + 1,
                ),
            )
        except (ApiError, RequestFailed, ModelUnavailable) as error:
            raise JobFailed(str(error)) from error
        seconds = len(result.seconds)
        self.labelled.inc(seconds)
        progress(done=seconds, total=seconds)
        await self._store(video, result)

    def corrections(self) -> tuple[Corrections, Corrections]:
        """Labelled videos with corrections, and those without; see `Request`."""
        corrected: Corrections = []
        others: Corrections = []
        for video in self.state.videos():
            path, name = self.analysis_path(video.id), self.csv_path(video)
            if path.exists():
                rows = self.annotations.of(name, self.events(video))
                group = corrected if self.annotations.has(name) else others
                group.append((video.id, str(path), rows))
        return corrected, others

    async def _label_again(self, video: Video) -> None:
        """Label a video with the present model, from the features that are kept."""
        record = await asyncio.to_thread(self.state.result, video.id)
        if record is None:
            raise JobFailed("The video is not labelled.")
        again = await self.model.relabel(self.analysis_path(video.id), record)
        await self._store(video, Result.from_json(again))

    async def _store(self, video: Video, result: Result) -> None:
        stored = await asyncio.to_thread(
            lambda: self.state.store_result(
                video.id,
                result.to_json(),
                status=result.status,
                reason=result.reason,
                duration=result.duration,
                seconds=len(result.seconds),
                events=len(result.events),
                model=result.model,
            )
        )
        if stored:
            self.publish(stored)

    async def _job_ended(self, job: Job) -> None:
        """Give a video the state of its job, if that did not finish."""
        if job.kind != "label" or job.state not in ("failed", "cancelled"):
            return
        changed = await asyncio.to_thread(
            lambda: self.state.change_video(job.video or "", status=job.state, reason=job.error)
        )
        if changed:
            self.publish(changed)

    # Removal

    async def remove(self, video: Video) -> None:
        """Remove a video with its job, upload and analysis; its corrections stay."""
        if video.job:
            await self.jobs.cancel(video.job)
            await self.jobs.ended(video.job)
        await asyncio.to_thread(self._remove, video)

    def _remove(self, video: Video) -> None:
        self.state.remove_video(video.id)
        paths = [self.analysis_path(video.id)]
        if video.source == "upload":
            paths.append(self.folder / video.path)
        for path in paths:
            path.unlink(missing_ok=True)

    def _recover(self) -> None:
        """Remove what a killed server left behind, and queue its running jobs."""
        self.state.requeue()
        for path in self.folder.glob(f"{WORK_PREFIX}*"):
            shutil.rmtree(path, ignore_errors=True)
        known = {video.id for video in self.state.videos()}
        for folder in ("uploads", "analysis"):
            for path in self._in_state(folder).iterdir():
                if path.name.startswith(WRITING) or path.stem not in known:
                    path.unlink(missing_ok=True)

    async def _purge_for_ever(self) -> None:
        while True:
            with contextlib.suppress(Exception):
                await asyncio.to_thread(self.purge)
            await asyncio.sleep(_PURGE_SECONDS)

    def purge(self) -> None:
        """Remove uploads after their time, unless they have corrections or wait for a job."""
        before = time.time() - self.settings.keep_uploads_hours * 3600
        for video in self.state.videos():
            path = self.folder / video.path
            if (
                video.source == "upload"
                and video.status not in WAITING
                and not self.annotations.has(self.csv_path(video))
                and (not path.exists() or path.stat().st_mtime < before)
            ):
                self._remove(video)


# The result of an hour takes half a second to parse, and the page asks for its parts again and
# again. A new result of a video comes with another job or status, which are part of the key.
@functools.lru_cache(maxsize=16)
def _stored_result(state: State, video: Video) -> Result | None:
    record = state.result(video.id)
    return Result.from_json(record) if record else None


def server_of(request: Request) -> Server:
    """The server of a request; a dependency of routes."""
    return request.app.state.server
