"""Metrics for Prometheus, and health checks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from fastapi import APIRouter, Depends, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from avel_tf.serving.errors import ApiError
from avel_tf.serving.server import Server, server_of

router = APIRouter()
_Server = Annotated[Server, Depends(server_of)]


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
def metrics(server: _Server) -> Response:
    """Requests, jobs by state, seconds labelled, queue, restarts of the model and latencies."""
    present = b"".join(map(generate_latest, (server.metrics, _Present(server))))  # type: ignore[arg-type]
    return Response(present, media_type=CONTENT_TYPE_LATEST)


class _Present:
    """Collector of values that are read when they are asked for."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def collect(self) -> Iterator[Metric]:
        counts = self._server.state.counts()
        jobs = GaugeMetricFamily("avel_jobs", "Jobs by state.", labels=["state"])
        for state in ("queued", "running", "done", "failed", "cancelled"):
            jobs.add_metric([state], counts.get(state, 0))
        yield jobs
        yield GaugeMetricFamily(
            "avel_queue_length", "Jobs that wait.", value=counts.get("queued", 0)
        )
        model = self._server.model
        yield CounterMetricFamily(
            "avel_model_restarts", "Restarts of the model process.", value=model.restarts
        )
        yield GaugeMetricFamily("avel_model_ready", "1 if the model can answer.", value=model.ready)


@router.get("/v2/health/live")
def live() -> dict:
    """The server answers."""
    return {"live": True}


@router.get("/v2/health/ready")
def ready(server: _Server) -> dict:
    """The model can answer."""
    if not server.model.ready:
        problem = server.model.error
        raise ApiError(
            503,
            f"The model cannot be loaded: {problem}" if problem else "The model is loaded now.",
            retry_after=5,
        )
    return {"ready": True}
