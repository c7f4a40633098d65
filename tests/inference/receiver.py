"""A receiver of webhooks on loopback, which can be down."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

# Status and headers of the answer to a payload.
Answer = Callable[[dict[str, Any]], tuple[int, dict[str, str]]]


class Receiver:
    """Collects what is posted to a port that stays the same while it is down and up again.

    Attributes:
        bodies: Accepted payloads, in their order.
        requests: Path, headers and payload of every request.
        answer: Returns status and headers for a payload.
    """

    def __init__(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/hook"
        self.requests: list[tuple[str, dict[str, str], dict[str, Any]]] = []
        self.bodies: list[dict[str, Any]] = []
        self.answer: Answer = lambda _: (204, {})

    @contextlib.contextmanager
    def up(self) -> Iterator[None]:
        """Receive for as long as the block runs."""
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                receiver.requests.append((self.path, dict(self.headers), body))
                status, headers = receiver.answer(body)
                if status < 300:
                    receiver.bodies.append(body)
                self.send_response(status)
                for name, value in {"Content-Length": "0", **headers}.items():
                    self.send_header(name, value)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            server.server_close()
            thread.join()
