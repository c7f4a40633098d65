"""Teaching: training from corrections, choice of the model, search by example."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field

from avel_tf.serving.analysis import Analysis
from avel_tf.serving.errors import ApiError
from avel_tf.serving.routes.schemas import WHOLE, Body, Id, Name
from avel_tf.serving.search import search
from avel_tf.serving.server import Server, server_of

router = APIRouter(prefix="/api/v1")
_Server = Annotated[Server, Depends(server_of)]


class Train(Body):
    """Settings of a training."""

    epochs: Annotated[int, Field(ge=1, le=1_000), WHOLE] | None = None


class TrainAccepted(BaseModel):
    """The job that was queued."""

    job: str


class Model(BaseModel):
    """A model that the server can use."""

    name: str
    labels: list[str]
    created: str | None
    active: bool
    note: str


class ModelList(BaseModel):
    """All models, the newest first."""

    models: list[Model]


class ModelChoice(Body):
    """The model to use."""

    name: Name


class Chosen(BaseModel):
    """The model that is in use now, and the jobs that label the videos with it."""

    name: str
    jobs: list[str]


class SearchQuery(Body):
    """A second, as an example."""

    video: Id
    second: Annotated[int, Field(ge=0, le=1_000_000), WHOLE]
    limit: Annotated[int, Field(ge=1, le=200), WHOLE] = 20


class SearchMatch(BaseModel):
    """A second that resembles the example."""

    video: str
    name: str
    start: float
    end: float
    label: str
    similarity: float


class SearchMatches(BaseModel):
    """The most similar seconds, the best first."""

    matches: list[SearchMatch]


@router.post("/train", status_code=202)
async def train(server: _Server, body: Train | None = None) -> TrainAccepted:
    """Queue a training on all corrections."""
    parameters = body.model_dump(exclude_none=True) if body else {}
    job = await server.jobs.submit("train", parameters=parameters)
    return TrainAccepted(job=job.id)


@router.get("/models")
async def list_models(server: _Server) -> ModelList:
    """The model that the server was started with, and those that people made of it."""
    active = await asyncio.to_thread(lambda: server.models.active)
    models = [
        Model(
            name=each.name,
            labels=list(each.labels),
            created=each.created,
            active=each.name == active,
            note=each.note,
        )
        for each in await asyncio.to_thread(server.models.taught)
    ]
    info = await asyncio.to_thread(server.models.original_entry)
    models.append(
        Model(
            name=info.name,
            labels=list(info.labels),
            created=None,
            active=active is None,
            note=info.note,
        )
    )
    return ModelList(models=models)


@router.post("/models/active", status_code=202)
async def choose_model(body: ModelChoice, server: _Server) -> Chosen:
    """Use a model from now on, and label the videos without corrections with it."""
    original = await asyncio.to_thread(server.models.original_entry)
    name = None if body.name == original.name else body.name
    spec = await asyncio.to_thread(server.models.spec, name)
    await server.model.change(spec)
    await asyncio.to_thread(server.models.activate, name)
    return Chosen(name=body.name, jobs=[job.id for job in await server.relabel()])


@router.post("/search")
async def search_by_example(body: SearchQuery, server: _Server) -> SearchMatches:
    """Find the seconds of all videos that resemble a second in picture and sound."""
    return await asyncio.to_thread(_search, server, body)


def _search(server: Server, body: SearchQuery) -> SearchMatches:
    example = server.analysis(body.video)
    seconds = len(example.array("valid"))
    if body.second >= seconds:
        raise ApiError(404, f"The video has {seconds} seconds. Received: second {body.second}.")
    videos = {video.id: video for video in server.state.videos()}
    analyses = {}
    for video in videos:
        try:
            analyses[video] = Analysis(server.analysis_path(video))
        except FileNotFoundError:
            continue
    found = search(analyses.items(), example, body.video, body.second, body.limit)
    return SearchMatches(
        matches=[
            SearchMatch(
                video=match.video,
                name=videos[match.video].name,
                start=match.start,
                end=match.end,
                label=analyses[match.video].label(int(match.start)),
                similarity=match.similarity,
            )
            for match in found
        ]
    )
