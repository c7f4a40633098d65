"""The server: its folders, state, jobs and model, shared by all routes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from prometheus_client import CollectorRegistry, Counter, Histogram

from avel_tf.events.result import Result
from avel_tf.serving.broadcast import Broadcast
from avel_tf.serving.errors import ApiError
from avel_tf.serving.jobs import JobFailed, Jobs, Progress
from avel_tf.serving.library import Library
from avel_tf.serving.model_connection import ModelUnavailable, RequestFailed
from avel_tf.serving.model_process import WORKER, ModelProcess
from avel_tf.serving.model_worker import ModelSpec
from avel_tf.serving.models import Models
from avel_tf.serving.security import TokenBuckets
from avel_tf.serving.settings import ServingSettings
from avel_tf.serving.state import Job, Video, new_id, now
from avel_tf.serving.train_job import train
from avel_tf.serving.uploads import Uploads
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


class Server(Library):
    """Library of videos with jobs and a model, shared by all routes.

    `create_app` starts and stops it.

    Args:
        options: Folders, model and address.

    Attributes:
        options: The same.
        settings: Section `serving` of the configuration.
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
        media = options.spec.config.media
        super().__init__(options.data, options.state, follow_links=media.follow_links)
        self.broadcast = Broadcast()
        self.jobs = Jobs(self.state, self.broadcast, self.settings.queue, self._job_ended)
        self.jobs.add_kind("label", "seconds", self._label)
        self.models = Models(self.folder / "models", options.spec, self.state)
        self.model = ModelProcess(self.models.spec(self.models.active), worker=options.worker)
        handler = partial(train, self.model, self.models, self.folder, self.corrections)
        self.jobs.add_kind("train", "steps", handler)
        self.uploads = Uploads(
            self.folder / "uploads",
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
        await asyncio.to_thread(self.recover)
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
            self.close()

    def stop_streams(self) -> None:
        """End the event streams; from the handler of a signal."""
        self.loop.call_soon_threadsafe(self.broadcast.close)

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

    async def _label_again(self, video: Video) -> None:
        """Label a video with the present model, from the features that are kept."""
        record = await asyncio.to_thread(self.state.result, video.id)
        if record is None:
            raise JobFailed("The video is not labelled.")
        again = await self.model.relabel(self.analysis_path(video.id), record)
        await self._store(video, Result.from_json(again))

    async def _store(self, video: Video, result: Result) -> None:
        stored = await asyncio.to_thread(
            lambda: self.store_result(
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
        await asyncio.to_thread(self.delete, video)

    async def _purge_for_ever(self) -> None:
        while True:
            with contextlib.suppress(Exception):
                await asyncio.to_thread(self.purge, self.settings.keep_uploads_hours * 3600)
            await asyncio.sleep(_PURGE_SECONDS)


def server_of(request: Request) -> Server:
    """The server of a request; a dependency of routes."""
    return request.app.state.server
