"""The FastAPI application of the server."""

from __future__ import annotations

import sqlite3
import time

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from avel_tf import __version__
from avel_tf.serving.errors import DISK_FULL, ApiError, error_response, is_disk_full
from avel_tf.serving.routes.annotations import router as annotations_router
from avel_tf.serving.routes.jobs import router as jobs_router
from avel_tf.serving.routes.kserve import router as kserve_router
from avel_tf.serving.routes.label_studio import router as label_studio_router
from avel_tf.serving.routes.media import router as media_router
from avel_tf.serving.routes.metrics import router as metrics_router
from avel_tf.serving.routes.page import router as page_router
from avel_tf.serving.routes.results import router as results_router
from avel_tf.serving.routes.review import router as review_router
from avel_tf.serving.routes.schemas import ErrorBody
from avel_tf.serving.routes.teaching import router as teaching_router
from avel_tf.serving.routes.tensorflow_serving import router as tensorflow_serving_router
from avel_tf.serving.routes.video_events import router as video_events_router
from avel_tf.serving.routes.videos import router as videos_router
from avel_tf.serving.security import Security
from avel_tf.serving.server import Server

ROUTERS = (
    page_router,
    videos_router,
    media_router,
    results_router,
    annotations_router,
    jobs_router,
    review_router,
    teaching_router,
    video_events_router,
    tensorflow_serving_router,
    kserve_router,
    label_studio_router,
    metrics_router,
)


def create_app(server: Server) -> FastAPI:
    """Create the application; its lifespan starts and stops the server.

    Args:
        server: The server.

    Returns:
        The application, to be run by one process, as by uvicorn.
    """
    app = FastAPI(
        title="avel serve",
        version=__version__,
        lifespan=server.running,
        # Their pages load scripts from other hosts.
        docs_url=None,
        redoc_url=None,
        responses={"default": {"model": ErrorBody}, 422: {"model": ErrorBody}},
    )
    app.state.server = server
    for router in ROUTERS:
        app.include_router(router)
    _add_error_handlers(app)
    settings = server.settings
    app.add_middleware(
        Security,
        host=server.options.host,
        allowed_hosts=settings.allowed_hosts,
        token=server.options.token,
        wrong_tokens=server.wrong_tokens,
        requests_per_minute=settings.requests_per_minute,
        max_body_bytes=settings.max_body_bytes,
    )
    app.add_middleware(Measured, server=server)
    return app


def _add_error_handlers(app: FastAPI) -> None:
    """Answer every error with the same JSON body; `Security` does so for unexpected ones."""

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> JSONResponse:
        # Starlette's own have a phrase such as "Not Found".
        message = str(error) if isinstance(error, ApiError) else f"{error.detail}."
        headers = dict(error.headers or {})
        if error.status_code == 405:
            headers.update(_allowed(request))
        return error_response(error.status_code, message, headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        return error_response(422, f"{place}: {first['msg']}.")

    @app.exception_handler(OSError)
    @app.exception_handler(sqlite3.OperationalError)
    async def disk(request: Request, error: Exception) -> JSONResponse:
        if is_disk_full(error):
            return error_response(507, DISK_FULL, {"Retry-After": "60"})
        raise error


def _allowed(request: Request) -> dict[str, str]:
    """`Allow` header of a path. Starlette names the methods of one route of several."""
    routes = [each for router in ROUTERS for each in router.routes if isinstance(each, APIRoute)]
    matching = [each for each in routes if each.matches(request.scope)[0] != Match.NONE]
    methods = {
        name for each in matching if each.path == matching[0].path for name in each.methods or ()
    }
    return {"Allow": ", ".join(sorted(methods))} if methods else {}


class Measured:
    """ASGI middleware that counts requests and measures the time to the start of an answer.

    Args:
        app: The application.
        server: Holds the metrics.
    """

    def __init__(self, app: ASGIApp, server: Server) -> None:
        self._app = app
        self._server = server

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()

        async def send_measured(message: Message) -> None:
            if message["type"] == "http.response.start":
                # The template of the route, so that the number of series is bounded.
                path = getattr(scope.get("route"), "path", "other")
                method = scope["method"] if path != "other" else "other"
                self._server.requests.labels(method, path, message["status"]).inc()
                self._server.latency.labels(path).observe(time.perf_counter() - began)
            await send(message)

        await self._app(scope, receive, send_measured)
