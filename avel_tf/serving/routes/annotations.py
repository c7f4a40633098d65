"""Annotations of a video: the events of the model and the corrections of people."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response

from avel_tf.serving import annotations as store
from avel_tf.serving.errors import ApiError
from avel_tf.serving.routes.schemas import (
    Annotation,
    AnnotationChange,
    AnnotationList,
    Id,
    IdentifiedChange,
    NewAnnotation,
)
from avel_tf.serving.server import Server, server_of
from avel_tf.serving.state import Video

router = APIRouter(prefix="/api/v1/videos/{video}/annotations")
_Server = Annotated[Server, Depends(server_of)]
# A boundary may be dragged to the end of the last second.
_MARGIN_SECONDS = 1.0


@router.get("")
def list_annotations(video: str, server: _Server) -> AnnotationList:
    """The annotations in order of time."""
    found = server.video(video)
    rows = server.annotations.of(server.csv_path(found), server.events(found))
    return AnnotationList(annotations=[Annotation(**asdict(each)) for each in rows])


@router.post("", status_code=201)
def add_annotation(video: str, body: NewAnnotation, server: _Server) -> Annotation:
    """Add an event, or a stretch of background."""
    found = server.video(video)
    new = store.checked(
        store.Annotation("", body.label, body.start, body.end, None, body.status, body.author)
    )
    _check_end(found, new.end)
    added = server.annotations.add(server.csv_path(found), server.events(found), new)
    return _changed(found, added, server)


@router.patch("")
def change_identified(video: str, body: IdentifiedChange, server: _Server) -> Annotation:
    """Change the annotation whose identifier is in the body."""
    return _change(video, body.id, body, server)


@router.patch("/{annotation}")
def change_annotation(
    video: str, annotation: str, body: AnnotationChange, server: _Server
) -> Annotation:
    """Change an annotation."""
    return _change(video, annotation, body, server)


@router.delete("", status_code=204)
def remove_identified(video: str, id: Annotated[Id, Query()], server: _Server) -> Response:
    """Reject an event of the model, or remove an added one."""
    return _remove(video, id, server)


@router.delete("/{annotation}", status_code=204)
def remove_annotation(video: str, annotation: str, server: _Server) -> Response:
    """Reject an event of the model, or remove an added one."""
    return _remove(video, annotation, server)


def _change(video: str, annotation: str, body: AnnotationChange, server: Server) -> Annotation:
    found = server.video(video)
    values = body.model_dump(exclude_none=True, exclude={"id"})
    if "end" in values:
        _check_end(found, values["end"])
    path, events = server.csv_path(found), server.events(found)
    return _changed(found, server.annotations.change(path, events, annotation, values), server)


def _remove(video: str, annotation: str, server: Server) -> Response:
    found = server.video(video)
    server.annotations.remove(server.csv_path(found), server.events(found), annotation)
    server.publish_soon(found)
    return Response(status_code=204)


def _changed(video: Video, row: store.Annotation, server: Server) -> Annotation:
    server.publish_soon(video)
    return Annotation(**asdict(row))


def _check_end(video: Video, end: float) -> None:
    if video.duration is not None and end > video.duration + _MARGIN_SECONDS:
        raise ApiError(422, f"The video ends at {video.duration:g} s. Received: end={end:g}.")
