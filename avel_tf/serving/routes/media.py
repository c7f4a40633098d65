"""The file of a video, and what the page draws of it."""

from __future__ import annotations

import mimetypes
from typing import Annotated

import numpy as np
from fastapi import APIRouter, Depends, Path, Response
from fastapi.responses import FileResponse

from avel_tf.events.event import second_spans
from avel_tf.serving.errors import ApiError
from avel_tf.serving.routes.schemas import Curves, SecondScores
from avel_tf.serving.server import Server, server_of

router = APIRouter(prefix="/api/v1/videos/{video}")
_Server = Annotated[Server, Depends(server_of)]
_Number = Annotated[int, Path(ge=0, le=10_000_000)]
_MOST_CURVES = 20
# Types that the table of the system may lack.
_TYPES = {".mkv": "video/x-matroska", ".webm": "video/webm", ".mp4": "video/mp4"}


def _binary(kind: str) -> dict:
    return {200: {"content": {kind: {"schema": {"type": "string", "format": "binary"}}}}}


@router.get("/media", response_class=FileResponse, responses=_binary("video/*"))
def media(video: str, server: _Server) -> FileResponse:
    """The file, also in parts (`Range`)."""
    path = server.file_of(server.video(video))
    kind = _TYPES.get(path.suffix.lower()) or mimetypes.guess_type(path.name)[0]
    if not kind or not kind.startswith("video/"):
        kind = "application/octet-stream"
    return FileResponse(path, media_type=kind, headers={"Cache-Control": "private, max-age=3600"})


@router.get("/waveform", response_class=Response, responses=_binary("application/octet-stream"))
def waveform(video: str, server: _Server) -> Response:
    """Smallest and largest sample of each fiftieth of a second: int8 [N, 2]."""
    peaks = server.analysis(video).array("peaks")
    return Response(peaks.tobytes(), media_type="application/octet-stream")


@router.get("/spectrogram/{k}.png", response_class=Response, responses=_binary("image/png"))
def spectrogram(video: str, k: _Number, server: _Server) -> Response:
    """Log-mel spectrogram of the seconds from 60 k: 64 rows, 20 columns per second."""
    tile = server.analysis(video).tile(k)
    if tile is None:
        raise ApiError(404, f"The video ends before second {60 * k}.")
    return Response(tile, media_type="image/png")


@router.get("/scores")
def scores(video: str, server: _Server) -> Curves:
    """Scores of the up to 20 classes with the highest maximum."""
    analysis = server.analysis(video)
    probabilities = analysis.array("probabilities")[:, :-1]  # [T, K]
    valid = analysis.array("valid")
    highest = np.where(valid[:, None], probabilities, 0.0).max(0, initial=0.0)  # [K]
    order = np.argsort(-highest, kind="stable")[:_MOST_CURVES]
    return Curves(
        labels=[analysis.labels[index] for index in order],
        valid=valid.astype(int).tolist(),
        scores=np.round(probabilities[:, order].T.astype(float), 4).tolist(),
    )


@router.get("/seconds/{s}")
def second(video: str, s: _Number, server: _Server) -> SecondScores:
    """The five best classes of a second, by both modalities and by each alone."""
    found = server.video(video)
    analysis = server.analysis(video)
    valid = analysis.array("valid")
    if s >= len(valid) or not valid[s]:
        raise ApiError(404, f"Second {s} is not labelled; the video has {len(valid)} seconds.")
    start, end = second_spans(len(valid), found.duration)[s]
    labels = {each.start: each.label for each in server.result(found).seconds}
    label = labels.get(start, "background")
    return SecondScores.model_validate(
        {"start": start, "end": end, "label": label, **analysis.best(s)}
    )
