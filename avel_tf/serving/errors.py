"""Errors of the HTTP API, with their status and JSON body."""

from __future__ import annotations

import errno
import sqlite3

# `type` in the body, by status.
TYPES = {
    400: "invalid",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "invalid",
    408: "invalid",
    409: "invalid",
    413: "too_large",
    415: "unsupported",
    416: "invalid",
    422: "invalid",
    429: "too_many",
    500: "unavailable",
    503: "unavailable",
    507: "unavailable",
}
DISK_FULL = "The disk of the server is full. Nothing was stored; free some space and try again."


class ApiError(Exception):
    """An error that is answered with a status and a sentence.

    Args:
        status: HTTP status, a key of `TYPES`.
        message: What was received, what was expected, and what to do.
        retry_after: Seconds after which the request may succeed.
    """

    def __init__(self, status: int, message: str, *, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = {} if retry_after is None else {"Retry-After": str(retry_after)}


def error_body(status: int, message: str) -> dict[str, dict[str, str]]:
    """JSON body of an error."""
    return {"error": {"message": message, "type": TYPES.get(status, "invalid")}}


def is_disk_full(error: BaseException) -> bool:
    """Return True for the error of a full disk or quota, of a file or of SQLite."""
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    return isinstance(error, sqlite3.OperationalError) and "full" in str(error)
