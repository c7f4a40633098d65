"""Videos: upload, the server's folder, list and removal."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from pydantic import ValidationError

from avel_tf.serving.errors import ApiError
from avel_tf.serving.routes.schemas import Accepted, Folder, FolderFile, OpenPath, Video, Videos
from avel_tf.serving.server import Server, server_of
from avel_tf.serving.state import WAITING
from avel_tf.video.video_files import is_sidecar_name, is_video_name

router = APIRouter(prefix="/api/v1")
_Server = Annotated[Server, Depends(server_of)]
# The page lists them; more are found by their path.
_MOST_FILES = 5_000
_MOST_JSON_BYTES = 10_000
UPLOAD_FORM: dict[str, Any] = {
    "schema": {
        "type": "object",
        "required": ["file"],
        "properties": {"file": {"type": "string", "format": "binary"}},
    },
    "encoding": {"file": {"contentType": "video/*"}},
}


@router.post(
    "/videos",
    status_code=202,
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "multipart/form-data": UPLOAD_FORM,
                "application/json": {"schema": OpenPath.model_json_schema()},
            },
        }
    },
)
async def open_video(request: Request, server: _Server) -> Accepted:
    """Label an uploaded file, or a file in the server's folder, as a job."""
    if request.headers.get("content-type", "").partition(";")[0].strip() == "application/json":
        return await _open_path(await _json_body(request), server)
    await asyncio.to_thread(server.jobs.check_room)
    async with server.uploads.receive(request) as upload:
        await upload.publish()
        relative = os.path.relpath(upload.path, server.folder)
        video = server.new_video("upload", upload.name, relative, upload.size, upload.id)
        try:
            job = await server.open_video(video)
        except BaseException:
            upload.path.unlink(missing_ok=True)
            raise
    return Accepted(job=job.id, video=video.id)


async def _open_path(body: OpenPath, server: Server) -> Accepted:
    path = await asyncio.to_thread(server.file_in_data, body.path)
    if not is_video_name(path.name):
        raise ApiError(415, f"{path.name!r} is not the name of a video file.")
    relative = os.path.relpath(path, server.data)
    video = await asyncio.to_thread(server.state.video_at, "folder", relative)
    if video is not None and video.job and video.status in WAITING:
        return Accepted(job=video.job, video=video.id)
    size = path.stat().st_size
    video = video or server.new_video("folder", relative, relative, size)
    job = await server.open_video(video)
    return Accepted(job=job.id, video=video.id)


async def _json_body(request: Request) -> OpenPath:
    content = bytearray()
    async for chunk in request.stream():
        content += chunk
        if len(content) > _MOST_JSON_BYTES:
            raise ApiError(413, "The body is larger than a path can be.")
    try:
        return OpenPath.model_validate(json.loads(content))
    except (ValueError, RecursionError, ValidationError) as error:
        raise ApiError(422, 'Expected JSON such as {"path": "clips/dog.mp4"}.') from error


@router.get("/videos")
def list_videos(server: _Server) -> Videos:
    """All videos, the newest first."""
    return Videos(videos=[Video(**server.public(each)) for each in server.state.videos()])


@router.get("/videos/{video}")
def get_video(video: str, server: _Server) -> Video:
    """A video."""
    return Video(**server.public(server.video(video)))


@router.delete("/videos/{video}", status_code=204)
async def remove_video(video: str, server: _Server) -> Response:
    """Cancel the job of a video, and remove its upload and analysis; corrections stay."""
    await server.remove(await asyncio.to_thread(server.video, video))
    return Response(status_code=204)


@router.get("/folder")
def list_folder(server: _Server) -> Folder:
    """The video files in the server's folder, at any depth."""
    known = {each.path: each.id for each in server.state.videos() if each.source == "folder"}
    files: list[FolderFile] = []
    for path, size in _video_files(server):
        if len(files) == _MOST_FILES:
            return Folder(files=files, truncated=True)
        files.append(FolderFile(path=path, size=size, video=known.get(path)))
    return Folder(files=files, truncated=False)


def _video_files(server: Server) -> Iterator[tuple[str, int]]:
    for root, folders, names in os.walk(server.data):
        folders[:] = sorted(
            each for each in folders if os.path.join(root, each) != str(server.folder)
        )
        for name in sorted(names):
            path = os.path.join(root, name)
            if not is_video_name(name) or is_sidecar_name(name) or os.path.islink(path):
                continue
            relative = os.path.relpath(path, server.data)
            if relative.isprintable():  # JSON cannot hold names that are not Unicode
                try:
                    yield relative, os.path.getsize(path)
                except OSError:  # removed meanwhile
                    continue
