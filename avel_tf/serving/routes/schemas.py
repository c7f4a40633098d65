"""Bodies of requests and answers, for their validation and the OpenAPI document."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

Id = Annotated[str, StringConstraints(max_length=64)]
Status = Literal["predicted", "accepted", "changed", "added", "rejected", "background"]
# Longer than any file that the decoder takes.
Seconds = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]
Name = Annotated[str, StringConstraints(max_length=1_000)]


def _whole(number: object) -> object:
    return int(number) if isinstance(number, float) and number.is_integer() else number


# A JSON number such as 3.0 is an integer, too.
WHOLE = BeforeValidator(_whole)


class Body(BaseModel):
    """Body of a request; unknown keys and other types are refused."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Error(BaseModel):
    """An error."""

    message: str
    type: str


class ErrorBody(BaseModel):
    """Answer of a failed request."""

    error: Error


class Video(BaseModel):
    """A video; `avel_tf.serving.state.Video` describes it."""

    id: str
    name: str
    source: str
    size: int
    created: str
    status: str
    reason: str | None
    duration: float | None
    seconds: int
    events: int
    model: str | None
    job: str | None
    corrected: bool


class Videos(BaseModel):
    """All videos."""

    videos: list[Video]


class Job(BaseModel):
    """A job; `avel_tf.serving.state.Job` describes it."""

    id: str
    kind: str
    video: str | None
    state: str
    done: float
    total: float | None
    unit: str
    message: str | None
    error: str | None
    created: str
    started: str | None
    finished: str | None
    attempts: int
    result: dict[str, Any] | None


class Jobs(BaseModel):
    """The last jobs, the newest first."""

    jobs: list[Job]


class Accepted(BaseModel):
    """A job that was queued, and the video that it is for."""

    job: str
    video: str


class OpenPath(Body):
    """A file in the server's folder."""

    path: Name


class Annotation(BaseModel):
    """An annotation; `avel_tf.serving.annotations.Annotation` describes it."""

    id: str
    label: str
    start: float
    end: float
    score: float | None
    status: str
    author: str | None
    time: str | None
    predicted: str | None


class AnnotationList(BaseModel):
    """Annotations of a video in order of time."""

    annotations: list[Annotation]


class NewAnnotation(Body):
    """An event, or a stretch of background, that a person adds."""

    label: Name = ""
    start: Seconds
    end: Seconds
    status: Literal["added", "background"] = "added"
    author: Name | None = None


class AnnotationChange(Body):
    """Changes of an annotation; what is left out stays."""

    label: Name | None = None
    start: Seconds | None = None
    end: Seconds | None = None
    status: Status | None = None
    author: Name | None = None


class IdentifiedChange(AnnotationChange):
    """Changes of the annotation `id`."""

    id: Id


class LabelScore(BaseModel):
    """A class with its score."""

    label: str
    score: float


class SecondScores(BaseModel):
    """The best classes of a second, by both modalities and by each alone."""

    start: float
    end: float
    label: str
    both: list[LabelScore]
    visual: list[LabelScore]
    audio: list[LabelScore]


class Curves(BaseModel):
    """Scores of the classes over time; `valid` is 0 where nothing could be decoded."""

    labels: list[str]
    valid: list[int]
    scores: list[list[float]]


class Limits(BaseModel):
    """Limits of the server."""

    upload_bytes: int
    duration_s: float
    queue: int


class Info(BaseModel):
    """The server and its model; the model is null while it is loaded."""

    version: str
    model: str | None
    labels: list[str]
    all_labels: list[str]
    evidence: bool
    limits: Limits
    needs_token: bool
    teachable: bool
    ready: bool
    problem: str | None


class FolderFile(BaseModel):
    """A video file in the server's folder."""

    path: str
    size: int
    video: str | None


class Folder(BaseModel):
    """The video files in the server's folder."""

    files: list[FolderFile]
    truncated: bool


class Login(Body):
    """The token of the server."""

    token: Name


class Event(BaseModel):
    """An event of the model."""

    label: str
    start: float
    end: float
    score: float


class VideoEvents(BaseModel):
    """Events of a file."""

    events: list[Event]
    duration: float | None
