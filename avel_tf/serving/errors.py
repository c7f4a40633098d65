"""Errors of the HTTP API, with their status and JSON body."""

from __future__ import annotations

import errno
import sqlite3

from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

# `type` in the body, by status; `invalid` for others.
TYPES = {
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    413: "too_large",
    415: "unsupported",
    429: "too_many",
    500: "unavailable",
    503: "unavailable",
    507: "unavailable",
}
DISK_FULL = "The disk of the server is full. Nothing was stored; free some space and try again."


class ApiError(HTTPException):
    """An error that is answered with a status and a sentence.

    Args:
        status: HTTP status.
        message: What was received, what was expected, and what to do.
        retry_after: Seconds after which the request may succeed.
    """

    def __init__(self, status: int, message: str, *, retry_after: int | None = None) -> None:
        headers = None if retry_after is None else {"Retry-After": str(retry_after)}
        super().__init__(status, message, headers)

    def __str__(self) -> str:
        return self.detail


def error_response(
    status: int, message: str, headers: dict[str, str] | None = None
) -> JSONResponse:
    """Answer of a failed request."""
    # A name in the message may hold surrogates, which UTF-8 cannot encode.
    message = message.encode("utf-8", "backslashreplace").decode()
    body = {"error": {"message": message, "type": TYPES.get(status, "invalid")}}
    return JSONResponse(body, status, headers)


def is_disk_full(error: BaseException) -> bool:
    """Return True for the error of a full disk or quota, of a file or of SQLite."""
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    return isinstance(error, sqlite3.OperationalError) and "full" in str(error)
