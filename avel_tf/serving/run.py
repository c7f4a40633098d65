"""Runs the application with uvicorn."""

from __future__ import annotations

import logging
import socket
from types import FrameType

import uvicorn

from avel_tf.serving.app import create_app
from avel_tf.serving.security import WILDCARDS
from avel_tf.serving.server import Server, ServerOptions

# Seconds that requests in hand have when the server is stopped.
_GRACE_SECONDS = 5


class _Uvicorn(uvicorn.Server):
    """Uvicorn, whose open event streams end when it is stopped."""

    def __init__(self, config: uvicorn.Config, server: Server) -> None:
        super().__init__(config)
        self._server = server

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._server.stop_streams()
        super().handle_exit(sig, frame)


def serve(options: ServerOptions, port: int, *, verbose: bool = False) -> None:
    """Serve until a signal arrives.

    Args:
        options: Options of the server.
        port: Port; 0 for a free one.
        verbose: Log each request.

    Raises:
        OSError: The address is in use.
        ValueError: The state is damaged.
    """
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    # asyncio turns off Nagle's algorithm, which delays answers by 40 ms, only with this protocol.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((options.host, port))
    except OSError as error:
        listening.close()
        raise OSError(
            f"The server cannot listen on {options.host} port {port}: {error.strerror}. "
            "Choose another one with --port."
        ) from error
    with listening:
        server = Server(options)
        config = uvicorn.Config(
            create_app(server),
            log_level=logging.INFO if verbose else logging.WARNING,
            access_log=verbose,
            server_header=False,
            timeout_graceful_shutdown=_GRACE_SECONDS,
        )
        shown = "localhost" if options.host in WILDCARDS else options.host
        shown = f"[{shown}]" if ":" in shown else shown
        print(f"Open http://{shown}:{listening.getsockname()[1]}/ (Ctrl-C stops the server)")
        print(f"Videos: {server.data}  State: {server.folder}", flush=True)
        _Uvicorn(config, server).run(sockets=[listening])
