"""Durable queue of jobs, and the tasks that run them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, Protocol

from avel_tf.serving.broadcast import Broadcast
from avel_tf.serving.errors import DISK_FULL, ApiError, is_disk_full
from avel_tf.serving.state import ENDED, Job, State, Video, new_id, now

logger = logging.getLogger(__name__)

# Pause after the state could not be written, as on a full disk.
_RETRY_SECONDS = 2.0


class JobFailed(Exception):
    """The failure of a job; the message is a sentence for users."""


class Progress(Protocol):
    """Reports the progress of a job; arguments that are None keep their value."""

    def __call__(
        self,
        done: float | None = None,
        total: float | None = None,
        message: str | None = None,
        attempts: int | None = None,
    ) -> None: ...


# Runs a job and returns its result. It raises `JobFailed`, and is cancelled with the job.
Handler = Callable[[Job, Progress], Awaitable[dict[str, Any] | None]]


class Jobs:
    """Queue of jobs in SQLite. Each kind of job is run by a task, one job at a time.

    Jobs that were queued or running when the server ended, even by `kill -9`, go on when it
    starts again.

    Args:
        state: The durable state.
        broadcast: Receives each change.
        limit: Most jobs that wait.
        on_end: Called with each job that ended, before its end is broadcast.
    """

    def __init__(
        self,
        state: State,
        broadcast: Broadcast,
        limit: int,
        on_end: Callable[[Job], Awaitable[None]],
    ) -> None:
        self._state = state
        self._broadcast = broadcast
        self._limit = limit
        self._on_end = on_end
        self._handlers: dict[str, tuple[str, Handler]] = {}
        self._wake: dict[str, asyncio.Event] = {}
        self._runners: list[asyncio.Task] = []
        self._running: dict[str, asyncio.Task] = {}
        self._progress: dict[str, dict[str, Any]] = {}
        self._cancelled: set[str] = set()

    def add_kind(self, kind: str, unit: str, handler: Handler) -> None:
        """Register the handler of a kind of job, before `start`."""
        self._handlers[kind] = (unit, handler)

    def start(self) -> None:
        """Start to run jobs."""
        for kind in self._handlers:
            self._wake[kind] = asyncio.Event()
            self._runners.append(asyncio.create_task(self._run_kind(kind)))

    async def stop(self) -> None:
        """Stop; jobs in progress stay `running` and go on with the next start."""
        for task in (*self._runners, *self._running.values()):
            task.cancel()
        await asyncio.gather(*self._runners, *self._running.values(), return_exceptions=True)

    def get(self, job: str) -> Job | None:
        """The job of an identifier, with its present progress."""
        found = self._state.job(job)
        return None if found is None else self._with_progress(found)

    def all(self) -> list[Job]:
        """The last jobs, the newest first."""
        return list(map(self._with_progress, self._state.jobs()))

    def check_room(self) -> None:
        """Check that another job can wait.

        Raises:
            ApiError: The queue is full.
        """
        waiting = self._state.counts().get("queued", 0)
        if waiting >= self._limit:
            raise ApiError(
                503,
                f"The queue is full: {waiting} jobs wait (serving.queue). Try again later.",
                retry_after=30,
            )

    async def submit(
        self, kind: str, video: Video | None = None, parameters: dict[str, Any] | None = None
    ) -> Job:
        """Queue a job; it is on the disk when this returns.

        Args:
            kind: A registered kind.
            video: The video of the job, stored with it.
            parameters: Arguments for the handler.

        Raises:
            ApiError: The queue is full.
        """
        await asyncio.to_thread(self.check_room)
        unit = self._handlers[kind][0]
        total = video.duration if video else None
        job = Job(
            new_id(),
            kind,
            video.id if video else None,
            "queued",
            unit,
            now(),
            total=total,
            parameters=parameters,
        )
        if video is not None:
            video = replace(video, job=job.id)
        await asyncio.to_thread(self._state.add_job, job, video)
        self._broadcast.publish("job", job.public())
        if kind in self._wake:
            self._wake[kind].set()
        return job

    async def cancel(self, job: str) -> Job | None:
        """Cancel a job; one that has ended stays as it is."""
        found = self.get(job)
        if found is None or found.state in ENDED:
            return found
        self._cancelled.add(job)
        if job in self._running:
            self._running[job].cancel()
        elif found.state == "queued":
            found = await self._end(job, "cancelled")
        return found

    async def ended(self, job: str) -> None:
        """Wait until a job has ended."""
        while job in self._running:
            await asyncio.sleep(0.02)

    def _with_progress(self, job: Job) -> Job:
        if job.state in ENDED:
            return job
        return replace(job, **self._progress.get(job.id, {}))

    async def _run_kind(self, kind: str) -> None:
        wake = self._wake[kind]
        while True:
            try:
                wake.clear()
                job = await asyncio.to_thread(self._state.next_job, kind)
                if job is None:
                    await wake.wait()
                else:
                    await self._run(job)
            except Exception:
                logger.exception("a job of kind %s could not be recorded", kind)
                await asyncio.sleep(_RETRY_SECONDS)

    async def _run(self, job: Job) -> None:
        handler = self._handlers[job.kind][1]
        running = await asyncio.to_thread(self._state.start_job, job)
        if running is None:  # cancelled meanwhile
            return
        self._broadcast.publish("job", running.public())

        def report(
            done: float | None = None,
            total: float | None = None,
            message: str | None = None,
            attempts: int | None = None,
        ) -> None:
            given = {"done": done, "total": total, "message": message, "attempts": attempts}
            kept = self._progress.setdefault(job.id, {})
            kept.update({name: value for name, value in given.items() if value is not None})
            self._broadcast.publish("job", replace(running, **kept).public())

        task = asyncio.ensure_future(handler(running, report))
        self._running[job.id] = task
        if job.id in self._cancelled:  # meanwhile
            task.cancel()
        try:
            result = await task
        except asyncio.CancelledError:
            if job.id not in self._cancelled:
                raise  # the server ends
            await self._end(job.id, "cancelled")
        except JobFailed as error:
            await self._end(job.id, "failed", error=str(error))
        except Exception as error:
            logger.exception("job %s failed", job.id)
            message = DISK_FULL if is_disk_full(error) else f"{type(error).__name__}: {error}"
            await self._end(job.id, "failed", error=message)
        else:
            await self._end(job.id, "done", result=result)
        finally:
            self._running.pop(job.id, None)

    async def _end(self, job: str, state: str, **values: Any) -> Job | None:
        kept = self._progress.get(job, {})
        ended = await asyncio.to_thread(
            lambda: self._state.change_job(job, state=state, finished=now(), **kept, **values)
        )
        self._progress.pop(job, None)
        self._cancelled.discard(job)
        if ended is not None:
            with contextlib.suppress(Exception):
                await self._on_end(ended)
            self._broadcast.publish("job", ended.public())
        return ended
