"""Jobs, and their changes as server-sent events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Depends
from fastapi.responses import StreamingResponse

from avel_tf.serving.broadcast import as_event
from avel_tf.serving.errors import ApiError
from avel_tf.serving.routes.schemas import Job, Jobs
from avel_tf.serving.server import Server, server_of
from avel_tf.serving.state import ENDED
from avel_tf.serving.state import Job as StoredJob

router = APIRouter(prefix="/api/v1")
_Server = Annotated[Server, Depends(server_of)]
_STREAM: dict = {
    "response_class": StreamingResponse,
    "responses": {200: {"content": {"text/event-stream": {}}}},
}


def _found(job: str, server: Server) -> StoredJob:
    found = server.jobs.get(job)
    if found is None:
        raise ApiError(404, f"There is no job {job!r}.")
    return found


@router.get("/jobs")
def list_jobs(server: _Server) -> Jobs:
    """The last jobs, the newest first."""
    return Jobs(jobs=[Job(**each.public()) for each in server.jobs.all()])


@router.get("/jobs/{job}")
def get_job(job: str, server: _Server) -> Job:
    """A job."""
    return Job(**_found(job, server).public())


@router.delete("/jobs/{job}", status_code=202)
async def cancel_job(job: str, server: _Server) -> Job:
    """Cancel a job; one that has ended stays as it is."""
    found = await server.jobs.cancel(job)
    if found is None:
        raise ApiError(404, f"There is no job {job!r}.")
    return Job(**found.public())


@router.get("/jobs/{job}/events", **_STREAM)
async def job_events(job: str, server: _Server) -> StreamingResponse:
    """Changes of a job as server-sent events, from its present state until it ends."""
    await asyncio.to_thread(_found, job, server)

    async def stream() -> AsyncIterator[bytes]:
        # Subscribed before the present state is read, so that no change is missed.
        with server.broadcast.subscription() as changes:
            record = (await asyncio.to_thread(_found, job, server)).public()
            yield as_event("job", record)
            if record["state"] in ENDED:
                return
            async for event, changed in changes:
                if not event:
                    yield as_event("", {})
                elif event == "job" and changed["id"] == job:
                    yield as_event("job", changed)
                    if changed["state"] in ENDED:
                        return

    return StreamingResponse(stream(), media_type="text/event-stream")


@router.get("/events", **_STREAM)
async def all_events(server: _Server) -> StreamingResponse:
    """Changes of all jobs and videos as server-sent events."""

    async def stream() -> AsyncIterator[bytes]:
        with server.broadcast.subscription() as changes:
            # A client that reads the lists now misses no change between them and the stream.
            yield b": connected\n\n"
            async for event, record in changes:
                yield as_event(event, record)

    return StreamingResponse(stream(), media_type="text/event-stream")
