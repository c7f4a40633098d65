"""Connection to one model process, for an event loop."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from typing import Any

from avel_tf.serving.errors import ApiError
from avel_tf.serving.model_worker import ModelSpec
from avel_tf.utils.child_process import child_environment

_STOP_SECONDS = 5.0


class ModelUnavailable(ApiError):
    """The model cannot answer; status 503.

    Args:
        message: The reason as a sentence.
    """

    def __init__(self, message: str) -> None:
        super().__init__(503, message, retry_after=5)


class RequestFailed(Exception):
    """The model process is alive and reports the failure of one request."""


class ModelDied(Exception):
    """The model process ended before it answered."""


class ModelConnection:
    """One model process. It is created in a thread, and used in the event loop.

    Args:
        spec: The model.
        worker: Module to run.
        loop: The event loop.
    """

    def __init__(self, spec: ModelSpec, worker: str, loop: asyncio.AbstractEventLoop) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self.process = subprocess.Popen(
                # -P: no module is imported from the working folder.
                [sys.executable, "-P", "-m", worker, str(theirs.fileno())],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                env=child_environment(),
                # In its own session it does not receive Ctrl-C, which the server handles.
                start_new_session=True,
            )
        self._connection = Connection(ours.detach())
        self._loop = loop
        self._numbers = itertools.count()
        self._pending: dict[int, tuple[asyncio.Future, Callable[[Any], None] | None]] = {}
        self._sender = ThreadPoolExecutor(1, "model-sender")
        self._loading: asyncio.Future = loop.create_future()
        self.info: dict[str, Any] | None = None
        self.ended = asyncio.Event()
        with contextlib.suppress(OSError):
            self._connection.send(spec)
        threading.Thread(target=self._read, daemon=True).start()

    async def loaded(self) -> None:
        """Wait until the model is loaded."""
        await asyncio.shield(self._loading)

    async def call(
        self, method: str, arguments: dict[str, Any], on_progress: Callable[[Any], None] | None
    ) -> Any:
        """Send a request and wait for its answer."""
        if self.ended.is_set():
            raise ModelDied
        number = next(self._numbers)
        answer = self._loop.create_future()
        self._pending[number] = (answer, on_progress)
        try:
            await self._send((number, method, dict(arguments)))
            return await answer
        except asyncio.CancelledError:
            with contextlib.suppress(ModelDied):
                await asyncio.shield(self._send((number, "cancel", None)))
            raise
        finally:
            self._pending.pop(number, None)

    async def drained(self) -> None:
        """Wait until no request is in hand."""
        while self._pending and not self.ended.is_set():
            await asyncio.sleep(0.05)

    async def stop(self) -> None:
        """End the process."""
        await asyncio.to_thread(self._stop)

    def _stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    async def _send(self, message: Any) -> None:
        try:
            await self._loop.run_in_executor(self._sender, self._connection.send, message)
        except (OSError, RuntimeError):  # RuntimeError: the executor is shut down
            # Or the second attempt would be sent to this process, too, and fail by the same death.
            await self.ended.wait()
            raise ModelDied from None

    def _read(self) -> None:
        """Read answers, in a thread."""
        try:
            while True:
                message = self._connection.recv()
                self._loop.call_soon_threadsafe(self._received, *message)
        except (EOFError, OSError):
            pass
        except RuntimeError:  # the event loop is closed
            return
        self._stop()  # it may have closed the connection only
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._lost)

    def _received(self, number: int | None, kind: str, value: Any) -> None:
        if kind == "ready":
            self.info = value
            self._loading.set_result(None)
        elif kind == "unavailable":
            self._loading.set_exception(ModelUnavailable(value))
        elif number in self._pending:
            answer, on_progress = self._pending[number]
            if kind == "progress":
                if on_progress:
                    on_progress(value)
            elif not answer.done():
                if kind == "done":
                    answer.set_result(value)
                else:
                    answer.set_exception(RequestFailed(value))

    def _lost(self) -> None:
        self.ended.set()
        self.info = None
        self._sender.shutdown(wait=False)
        for answer in (self._loading, *(answer for answer, _ in self._pending.values())):
            if not answer.done():
                answer.set_exception(ModelDied())
                answer.exception()  # it may have no reader
