"""Results of a video in the formats of `avel convert`."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path, PurePath
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Depends, Query, Response

from avel_tf.events.event import Event
from avel_tf.events.formats import FORMATS, check_formats, file_suffix
from avel_tf.events.result import Result
from avel_tf.serving.annotations import NO_EVENT
from avel_tf.serving.errors import ApiError
from avel_tf.serving.server import Server, server_of

router = APIRouter(prefix="/api/v1/videos/{video}")
_Server = Annotated[Server, Depends(server_of)]
# Names that are not in the list are answered with the nearest one.
_Format = Annotated[str, Query(json_schema_extra={"enum": list(FORMATS)})]
_TYPES = {
    "jsonl": "application/x-ndjson",
    "csv": "text/csv",
    "vtt": "text/vtt",
    "srt": "application/x-subrip",
    "eaf": "application/xml",
    "otio": "application/json",
    "parquet": "application/vnd.apache.parquet",
}


@router.get(
    "/results",
    response_class=Response,
    responses={200: {"content": {"*/*": {}}}},
)
def results(
    video: str, server: _Server, format: _Format = "jsonl", corrected: bool = False
) -> Response:
    """The result in a format, with the corrections of people in place of the events if wanted."""
    try:
        check_formats([format])
    except ValueError as error:
        raise ApiError(422, str(error)) from error
    found = server.video(video)
    result = server.result(found)
    if corrected:
        rows = server.annotations.of(server.csv_path(found), result.events)
        events = [
            Event(each.label, each.start, each.end, 1.0 if each.score is None else each.score)
            for each in rows
            if each.status not in NO_EVENT
        ]
        result = replace(result, events=tuple(events))
    name = f"{PurePath(found.name).stem}.{file_suffix(format)}"
    return Response(
        formatted(result, format),
        media_type=_TYPES.get(format, "text/plain"),
        headers={"Content-Disposition": f"attachment; filename*=UTF-8''{quote(name)}"},
    )


def formatted(result: Result, name: str) -> bytes:
    """A result as the file of a format.

    Raises:
        ApiError: The format needs a package that is not installed.
    """
    try:
        with tempfile.TemporaryDirectory() as folder:
            return result.save(Path(folder, "result"), name).read_bytes()
    except ImportError as error:
        raise ApiError(503, str(error)) from error
