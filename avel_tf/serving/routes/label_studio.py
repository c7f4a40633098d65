"""Label Studio ML backend: predictions for its editor, and training from its annotations.

Reference:
    https://labelstud.io/guide/ml_create and the API of label-studio-ml-backend.
"""

from __future__ import annotations

import asyncio
import urllib.parse
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict

from avel_tf.events.result import Result
from avel_tf.serving import annotations as store
from avel_tf.serving.errors import ApiError
from avel_tf.serving.model_connection import RequestFailed
from avel_tf.serving.server import Server, server_of
from avel_tf.serving.state import Video

router = APIRouter()
_Server = Annotated[Server, Depends(server_of)]
_ANNOTATED = ("ANNOTATION_CREATED", "ANNOTATION_UPDATED")
_START = "START_TRAINING"
# Path under which Label Studio serves files of local storage; the query has their path.
_LOCAL_FILES = "/data/local-files/"


class _Lenient(BaseModel):
    """Body of a request; Label Studio adds keys from version to version."""

    model_config = ConfigDict(extra="allow")


class Setup(_Lenient):
    """A project that connects the backend. `schema` is its labelling configuration."""

    project: str | None = None


class PredictTasks(_Lenient):
    """Tasks to predict."""

    tasks: list[dict[str, Any]]
    label_config: str | None = None


class Webhook(_Lenient):
    """An event of a project."""

    action: str
    project: dict[str, Any] | None = None
    task: dict[str, Any] | None = None
    annotation: dict[str, Any] | None = None


@dataclass(frozen=True)
class _Tags:
    """Tags of a labelling configuration that a prediction refers to."""

    labels: str = "label"
    to: str = "audio"
    data: str = "video"


@router.get("/health")
async def health(server: _Server) -> dict[str, str]:
    """State of the backend."""
    return {"status": "UP" if server.model.ready else "LOADING", "model_class": "avel-tf"}


@router.post("/setup")
async def setup(body: Setup, server: _Server) -> dict[str, str]:
    """Connect a project; answers with the name of the model."""
    return {"model_version": (await server.model.described())["name"]}


@router.post("/predict")
async def predict(body: PredictTasks, server: _Server) -> dict[str, Any]:
    """Predict the events of each task's video, which must be in the server's folder."""
    tags = _tags(body.label_config)
    name = (await server.model.described())["name"]
    results = [_prediction(await _label(task, tags, server), tags, name) for task in body.tasks]
    return {"results": results, "model_version": name}


@router.post("/webhook", status_code=201, responses={200: {"content": {"application/json": {}}}})
async def webhook(body: Webhook, server: _Server) -> Response:
    """Keep annotations as corrections; train on them when Label Studio asks for it."""
    if body.action in _ANNOTATED and body.task is not None and body.annotation is not None:
        tags = _tags((body.project or {}).get("label_config"))
        kept = await _keep(body.task, body.annotation, tags, server)
        return JSONResponse({"status": "ok", "kept": kept}, 201)
    if body.action == _START:
        job = await server.jobs.submit("train", parameters={})
        return JSONResponse({"status": "ok", "job": job.id}, 201)
    return JSONResponse({"status": "Unknown event"}, 200)


async def _label(task: dict[str, Any], tags: _Tags, server: Server) -> Result:
    """Result of a task's video: that of the server if it is labelled, else a new one."""
    path = _path(task, tags)
    real = await asyncio.to_thread(server.file_in_data, path)
    name = real.relative_to(server.data).as_posix()
    video = await asyncio.to_thread(server.state.video_at, "folder", name)
    if video is not None and server.state.result(video.id):
        return server.result(video)
    await server.check_duration(real, name, server.settings.max_synchronous_seconds)
    try:
        return await server.label(real, name, lane="direct")
    except RequestFailed as error:
        raise ApiError(500, f"{name} could not be labelled: {error}") from error


async def _keep(
    task: dict[str, Any], annotation: dict[str, Any], tags: _Tags, server: Server
) -> int:
    """Store the regions of an annotation as the corrections of a video; returns their number."""
    real = await asyncio.to_thread(server.file_in_data, _path(task, tags))
    name = real.relative_to(server.data).as_posix()
    video = await asyncio.to_thread(server.state.video_at, "folder", name)
    if video is None:
        # Its features are needed for training.
        video = server.new_video("folder", name, name, real.stat().st_size)
        await server.open_video(video)
    rows = [row for each in annotation.get("result") or () for row in _rows(each, annotation)]
    if not rows:
        end = video.duration or 1.0
        rows = [store.Annotation("", "", 0.0, end, status="background")]
    await asyncio.to_thread(_replace, server, video, rows)
    return sum(row.status != "background" for row in rows)


def _replace(server: Server, video: Video, rows: list[store.Annotation]) -> None:
    server.annotations.replace_all(server.csv_path(video), rows)
    server.publish_soon(video)


def _rows(region: Any, annotation: dict[str, Any]) -> list[store.Annotation]:
    try:
        if region.get("type") != "labels":
            return []
        value = region["value"]
        author = str(annotation.get("completed_by") or "") or None
        return [
            store.checked(
                store.Annotation(
                    "", str(label), value["start"], value["end"], None, "added", author
                )
            )
            for label in value["labels"]
        ]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ApiError(
            422, 'A region must have a "value" with "start", "end" and "labels" in seconds.'
        ) from error


def _prediction(result: Result, tags: _Tags, model: str) -> dict[str, Any]:
    regions = [
        {
            "id": f"e{number}",
            "from_name": tags.labels,
            "to_name": tags.to,
            "type": "labels",
            "score": event.score,
            "value": {"start": event.start, "end": event.end, "labels": [event.label]},
            **({} if result.duration is None else {"original_length": result.duration}),
        }
        for number, event in enumerate(result.events)
    ]
    scores = [event.score for event in result.events]
    return {
        "result": regions,
        "score": sum(scores) / len(scores) if scores else 0.0,
        "model_version": model,
    }


def _path(task: dict[str, Any], tags: _Tags) -> str:
    """Path of a task's video below the server's folder.

    Raises:
        ApiError: The task names none. URLs are not fetched, so that nobody can make the server
            read addresses of its network.
    """
    data = task.get("data")
    value = data.get(tags.data) if isinstance(data, dict) else None
    if not isinstance(value, str) or not value:
        raise ApiError(422, f"The task has no text {tags.data!r} in its data.")
    url = urllib.parse.urlsplit(value)
    if url.path == _LOCAL_FILES:
        return urllib.parse.parse_qs(url.query).get("d", [""])[0]
    if url.scheme:
        raise ApiError(
            422,
            f"The video {value[:200]!r} is a URL, which this server does not fetch. Keep videos in "
            "its folder (--data), as Label Studio's local storage, or give paths below it.",
        )
    return value.removeprefix("/")


def _tags(config: str | None) -> _Tags:
    """Names of the tags of a labelling configuration.

    Raises:
        ApiError: It has no Labels for an Audio tag.
    """
    if config is None:
        return _Tags()
    try:
        root = ElementTree.fromstring(str(config))  # expat limits the expansion of entities
    except ElementTree.ParseError as error:
        raise ApiError(422, f"The labelling configuration is not XML: {error}.") from error
    audio = {each.get("name"): each for each in root.iter("Audio")}
    for labels in root.iter("Labels"):
        to = labels.get("toName")
        if labels.get("name") and to in audio:
            data = (audio[to].get("value") or "$video").removeprefix("$")
            return _Tags(str(labels.get("name")), str(to), data)
    raise ApiError(
        422,
        "The labelling configuration needs <Labels> for an <Audio> tag, as in the template Video "
        "Timeline Segmentation, whose regions have times in seconds.",
    )
