"""Review of events: their order, precision against score, and thresholds."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Iterable
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field

from avel_tf.export.exported_model import ExportedModel
from avel_tf.export.postprocessing import copy_with_postprocessing
from avel_tf.serving import annotations as store
from avel_tf.serving.errors import ApiError
from avel_tf.serving.review import POINTS, fit_precision, judgements, review_order
from avel_tf.serving.routes.schemas import Annotation, Body, Name
from avel_tf.serving.server import Server, server_of
from avel_tf.serving.state import Video, now

router = APIRouter(prefix="/api/v1/review")
_Server = Annotated[Server, Depends(server_of)]
_Precision = Annotated[float, Field(gt=0, lt=1)]


class ReviewEvent(Annotation):
    """An unreviewed event."""

    video: str
    name: str


class ReviewQueue(BaseModel):
    """Unreviewed events, in the order of the review."""

    events: list[ReviewEvent]
    total: int


class CurvePoint(BaseModel):
    """Precision at a score, with its 95 % interval."""

    score: float
    precision: float
    low: float
    high: float


class Curve(BaseModel):
    """Precision of a class against score."""

    label: str
    reviewed: int
    accepted: int
    curve: list[CurvePoint]
    threshold: float | None


class Threshold(Body):
    """A wanted precision of a class."""

    label: Name
    precision: _Precision = 0.9


class ThresholdModel(BaseModel):
    """A model with a threshold."""

    model: str
    threshold: float


@router.get("")
def review_queue(
    server: _Server,
    order: Literal["uncertain", "random"] = "uncertain",
    label: Annotated[str, Query(max_length=1_000)] = "",
    limit: Annotated[int, Query(ge=1, le=1_000)] = 100,
) -> ReviewQueue:
    """Events of the model that nobody has judged."""
    videos = {video.id: video for video in server.state.videos()}
    rows = [
        (video.id, each)
        for video, annotations in _annotated(server, videos.values())
        for each in annotations
        if each.status == "predicted" and (not label or each.label == label)
    ]
    events = [
        ReviewEvent(video=video, name=videos[video].name, **dataclasses.asdict(each))
        for video, each in review_order(rows, order)[:limit]
    ]
    return ReviewQueue(events=events, total=len(rows))


@router.get("/curve")
def precision_curve(
    server: _Server,
    label: Annotated[str, Query(max_length=1_000)],
    precision: _Precision = 0.9,
) -> Curve:
    """Precision of a class against score, and the threshold of a wanted precision."""
    scores, right = _judged(server, label)
    fitted = fit_precision(scores, right)
    points = []
    if fitted:
        ends = zip(POINTS.tolist(), *(each.tolist() for each in fitted.at(POINTS)), strict=True)
        points = [
            CurvePoint(score=round(score, 3), precision=precise, low=low, high=high)
            for score, precise, low, high in ends
        ]
    return Curve(
        label=label,
        reviewed=len(scores),
        accepted=sum(right),
        curve=points,
        threshold=fitted.threshold(precision) if fitted else None,
    )


@router.post("/threshold", status_code=201)
async def set_threshold(body: Threshold, server: _Server) -> ThresholdModel:
    """Make a version of the present model that drops weaker events of a class."""
    info = await server.model.described()
    return await asyncio.to_thread(_make_version, server, info["folder"], body)


def _make_version(server: Server, folder: str, body: Threshold) -> ThresholdModel:
    model = ExportedModel(folder)
    if body.label not in model.labels.names:
        raise ApiError(404, f"The model {model.name} has no class {body.label!r}.")
    scores, right = _judged(server, body.label)
    fitted = fit_precision(scores, right)
    threshold = fitted.threshold(body.precision) if fitted else None
    if threshold is None:
        raise ApiError(
            409,
            f"No threshold for a precision of {body.precision:g} follows from {len(scores)} judged "
            f"events of {body.label!r}. Review more of them, or ask for a lower precision.",
        )
    events = model.postprocessing.events
    changed = dataclasses.replace(
        model.postprocessing,
        events=dataclasses.replace(events, min_scores={**events.min_scores, body.label: threshold}),
    )
    version = ExportedModel(copy_with_postprocessing(model.folder, server.models.folder, changed))
    note = (
        f"{model.name} with events of {body.label} from a score of {threshold:g} on, for a "
        f"precision of {body.precision:g} in {len(scores)} judged events"
    )
    server.models.add_note(version.name, now(), note)
    return ThresholdModel(model=version.name, threshold=threshold)


def _judged(server: Server, label: str) -> tuple[list[float], list[bool]]:
    rows = [
        each for _, annotations in _annotated(server, server.state.videos()) for each in annotations
    ]
    return judgements(rows, label)


def _annotated(
    server: Server, videos: Iterable[Video]
) -> list[tuple[Video, list[store.Annotation]]]:
    return [
        (video, server.annotations.of(server.csv_path(video), server.events(video)))
        for video in videos
    ]
