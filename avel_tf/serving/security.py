"""Checks of every request: host, origin, token, rate and size, and the headers of every answer."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import logging
import time
from collections import OrderedDict
from collections.abc import Collection
from http.cookies import CookieError, SimpleCookie

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from avel_tf.serving.errors import ApiError, error_response

logger = logging.getLogger(__name__)

COOKIE = "avel_session"
LOOPBACK = frozenset(("localhost", "127.0.0.1", "::1"))
WILDCARDS = frozenset(("", "0.0.0.0", "::"))
_SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
# The page itself, signing in, and health checks of load balancers.
_OPEN_PATHS = frozenset(
    ("/", "/app.js", "/app.css", "/api/v1/login", "/v2/health/live", "/v2/health/ready")
)
# These count their bytes themselves.
_UPLOAD_PATHS = frozenset(("/api/v1/videos", "/v1/video/events"))
_MOST_CLIENTS = 10_000
_HEADERS = {
    # Nothing is loaded from other hosts, and no page may embed this one.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' blob: data:; media-src 'self' blob:; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class TokenBuckets:
    """Rate limit of each client address.

    Args:
        per_minute: Size of a bucket, and tokens that it gains in a minute.
    """

    def __init__(self, per_minute: int) -> None:
        self._size = per_minute
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, client: str, cost: float = 1.0) -> float:
        """Take tokens; returns 0, or the seconds until there are enough and takes none."""
        now = time.monotonic()
        level, then = self._buckets.pop(client, (float(self._size), now))
        level = min(self._size, level + (now - then) * self._size / 60)
        missing = max(0.0, cost - level)
        self._buckets[client] = (level if missing else level - cost, now)
        if len(self._buckets) > _MOST_CLIENTS:
            self._buckets.popitem(last=False)
        return missing * 60 / self._size


class Security:
    """ASGI middleware that checks requests before the application sees them.

    Args:
        app: The application.
        host: Address that the server is bound to.
        allowed_hosts: Further names in the `Host` header.
        token: Token that requests need; None for a server on loopback.
        wrong_tokens: Limit of wrong tokens of each client address.
        requests_per_minute: Limit of each client address.
        max_body_bytes: Largest body of a request other than an upload.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        host: str,
        allowed_hosts: Collection[str] = (),
        token: str | None,
        wrong_tokens: TokenBuckets,
        requests_per_minute: int,
        max_body_bytes: int,
    ) -> None:
        self._app = app
        self._hosts = LOOPBACK | {host.lower(), *(each.lower() for each in allowed_hosts)}
        # A page of another site can reach this server by a name of its own that points here (DNS
        # rebinding), but not by an address.
        self._any_address = host in WILDCARDS
        self._token = token
        self._rate = TokenBuckets(requests_per_minute)
        self._wrong_tokens = wrong_tokens
        self._max_body = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        started = False

        async def send_secured(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        try:
            self._check(scope)
        except ApiError as error:
            response = error_response(error.status_code, str(error), dict(error.headers or {}))
            await response(scope, receive, send_secured)
            return
        if scope["path"] not in _UPLOAD_PATHS:
            receive = self._limited(receive)
        try:
            await self._app(scope, receive, send_secured)
        except Exception:
            logger.exception("%s %s failed", scope["method"], scope["path"])
            if started:
                raise
            response = error_response(500, "An unexpected error; the log of the server has it.")
            await response(scope, receive, send_secured)

    def _check(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        client = scope["client"][0] if scope.get("client") else "unknown"
        if wait := self._rate.wait(client):
            raise ApiError(
                429,
                "Too many requests of this client (serving.requests_per_minute).",
                retry_after=int(wait) + 1,
            )
        host = headers.get("host", "")
        if not self._is_allowed(host):
            raise ApiError(
                403,
                "The Host header of the request is not a name of this server. Open it as "
                "localhost, or add the name to serving.allowed_hosts.",
            )
        if scope["method"] not in _SAFE_METHODS:
            origin = headers.get("origin")
            if origin is not None and origin.partition("://")[2].lower() != host.lower():
                raise ApiError(403, "Requests of other web sites may not change anything.")
            if headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
                raise ApiError(403, "Requests of other web sites may not change anything.")
        length = headers.get("content-length", "0")
        if scope["path"] not in _UPLOAD_PATHS and length.isdigit() and int(length) > self._max_body:
            raise self._too_large()
        if self._token is not None and scope["path"] not in _OPEN_PATHS:
            self._check_token(headers, client)

    def _is_allowed(self, host: str) -> bool:
        name = _host_name(host)
        if name in self._hosts:
            return True
        if not self._any_address:
            return False
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True

    def _check_token(self, headers: Headers, client: str) -> None:
        assert self._token is not None
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            if same_token(given.strip(), self._token):
                return
            if wait := self._wrong_tokens.wait(client):
                raise ApiError(429, "Too many wrong tokens.", retry_after=int(wait) + 1)
        elif same_token(_session_of(headers.get("cookie", "")), session_value(self._token)):
            return
        raise ApiError(
            401,
            "This server needs its token: sign in on the page, or send the header "
            "'Authorization: Bearer TOKEN'.",
        )

    def _limited(self, receive: Receive) -> Receive:
        """Count the bytes of a body, which need not declare its length."""
        total = 0

        async def receive_limited() -> Message:
            nonlocal total
            message = await receive()
            total += len(message.get("body", b""))
            if total > self._max_body:
                raise self._too_large()
            return message

        return receive_limited

    def _too_large(self) -> ApiError:
        return ApiError(
            413,
            f"The request is larger than {self._max_body:,} bytes (serving.max_body_bytes).",
        )


def session_value(token: str) -> str:
    """Value of the session cookie, from which the token cannot be computed."""
    return hmac.new(token.encode(), b"avel serve session", hashlib.sha256).hexdigest()


def same_token(given: str, expected: str) -> bool:
    """Compare tokens in constant time."""
    return hmac.compare_digest(given.encode(), expected.encode())


def _session_of(cookies: str) -> str:
    try:
        found = SimpleCookie(cookies).get(COOKIE)
    except CookieError:
        return ""
    return found.value if found else ""


def _host_name(host: str) -> str:
    """Name in a `Host` header, without the port and without the brackets of IPv6."""
    host = host.lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]
