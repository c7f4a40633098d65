"""The page, signing in, and what the page needs to know about the server."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import FileResponse

from avel_tf import __version__
from avel_tf.serving.errors import ApiError
from avel_tf.serving.routes.schemas import Info, Limits, Login
from avel_tf.serving.security import COOKIE, same_token, session_value
from avel_tf.serving.server import Server, server_of

STATIC = Path(__file__).resolve().parents[1] / "static"
router = APIRouter()
_Server = Annotated[Server, Depends(server_of)]


def _file(name: str, kind: str) -> FileResponse:
    path = STATIC / name
    if not path.is_file():
        raise ApiError(404, f"The page is not built: {name} is missing. Run npm run build in web/.")
    return FileResponse(path, media_type=kind, headers={"Cache-Control": "no-cache"})


@router.get("/", include_in_schema=False)
def index() -> FileResponse:
    """The page."""
    return _file("index.html", "text/html")


@router.get("/app.js", include_in_schema=False)
def script() -> FileResponse:
    """Script of the page."""
    return _file("app.js", "text/javascript")


@router.get("/app.css", include_in_schema=False)
def style() -> FileResponse:
    """Style of the page."""
    return _file("app.css", "text/css")


@router.post("/api/v1/login", status_code=204)
def login(request: Request, body: Login, server: _Server) -> Response:
    """Sign in with the token: sets a cookie for this site alone."""
    token = server.options.token
    if token is None:
        return Response(status_code=204)
    client = request.client.host if request.client else "unknown"
    if not same_token(body.token, token):
        if wait := server.wrong_tokens.wait(client):
            raise ApiError(429, "Too many wrong tokens.", retry_after=int(wait) + 1)
        raise ApiError(401, "The token is wrong.")
    response = Response(status_code=204)
    response.set_cookie(
        COOKIE,
        session_value(token),
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
    return response


@router.get("/api/v1/info")
def info(server: _Server) -> Info:
    """The server and its model."""
    model = server.model.info or {}
    settings = server.settings
    return Info(
        version=__version__,
        model=model.get("name"),
        labels=model.get("labels", []),
        all_labels=model.get("all_labels", []),
        evidence=True,
        limits=Limits(
            upload_bytes=settings.max_upload_bytes,
            duration_s=min(settings.max_seconds, server.options.spec.config.media.max_seconds),
            queue=settings.queue,
        ),
        needs_token=server.options.token is not None,
        teachable=True,
        ready=server.model.ready,
        problem=server.model.error,
    )
