"""Synchronous labelling in the style of the audio transcription endpoints.

Reference:
    https://platform.openai.com/docs/api-reference/audio/createTranscription
"""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse

from avel_tf.events.result import Result
from avel_tf.serving.errors import ApiError
from avel_tf.serving.model_connection import RequestFailed
from avel_tf.serving.routes.results import formatted
from avel_tf.serving.routes.schemas import VideoEvents
from avel_tf.serving.server import Server, server_of
from avel_tf.serving.uploads import Upload

router = APIRouter()
_Server = Annotated[Server, Depends(server_of)]
_FORMATS = ("json", "verbose_json", "vtt", "srt")
_TYPES = {"vtt": "text/vtt", "srt": "application/x-subrip"}


@router.post(
    "/v1/video/events",
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "multipart/form-data": {
                    "schema": {
                        "type": "object",
                        "required": ["file"],
                        "properties": {
                            "file": {"type": "string", "format": "binary"},
                            "response_format": {"type": "string", "enum": list(_FORMATS)},
                            "model": {"type": "string"},
                        },
                    },
                    "encoding": {"file": {"contentType": "video/*"}},
                }
            },
        }
    },
    responses={
        200: {
            "model": VideoEvents,
            "content": {
                "application/json": {},
                **{kind: {"schema": {"type": "string"}} for kind in _TYPES.values()},
            },
        }
    },
    response_model=None,
)
async def video_events(request: Request, server: _Server) -> Response:
    """Label a short file, and answer with its events."""
    async with server.uploads.receive(request) as upload:
        format = _checked_format(upload, server)
        limit = server.settings.max_synchronous_seconds
        await server.check_duration(upload.temporary, upload.name, limit)
        too_long = False

        def on_progress(seconds: int) -> None:  # a header need not be true
            nonlocal too_long
            if seconds > limit + 1:
                too_long = True
                labelling.cancel()

        labelling = asyncio.create_task(
            server.label(upload.temporary, upload.name, lane="direct", on_progress=on_progress)
        )
        try:
            result = await _unless_gone(request, labelling)
        except asyncio.CancelledError:
            if not too_long:
                raise
            raise ApiError(413, server.too_long(upload.name, limit)) from None
        except RequestFailed as error:
            raise ApiError(500, f"The file could not be labelled: {error}") from error
    server.labelled.inc(len(result.seconds))
    if result.status == "quarantined":
        raise ApiError(422, f"The file cannot be decoded: {result.reason}")
    if format == "json":
        events = [
            {"label": each.label, "start": each.start, "end": each.end, "score": each.score}
            for each in result.events
        ]
        return JSONResponse({"events": events, "duration": result.duration})
    if format == "verbose_json":
        return Response(result.to_json(), media_type="application/json")
    content = await asyncio.to_thread(formatted, result, format)
    return Response(content, media_type=_TYPES[format])


async def _unless_gone(request: Request, task: asyncio.Task[Result]) -> Result:
    """Wait for a task, and cancel it when the client closes the connection."""
    try:
        while not task.done():
            await asyncio.wait([task], timeout=0.5)
            if not task.done() and await request.is_disconnected():
                raise ApiError(400, "The client closed the connection.")
        return task.result()
    finally:
        task.cancel()


def _checked_format(upload: Upload, server: Server) -> str:
    format = upload.fields.get("response_format", "json")
    if format not in _FORMATS:
        raise ApiError(
            422, f"response_format must be one of {', '.join(_FORMATS)}. Received: {format!r}."
        )
    if not server.model.ready and server.model.error:
        raise ApiError(503, f"The model cannot be loaded: {server.model.error}", retry_after=30)
    return format
