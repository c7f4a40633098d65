"""Handle of one decoding worker process."""

from __future__ import annotations

import json
import logging
import select
import time
from typing import Any

from avel_tf.utils.child_process import ChildProcess
from avel_tf.video.isolated.protocol import MESSAGE_BYTES, BlockMemory

logger = logging.getLogger(__name__)

# A worker starts in half a second; a machine that swaps may take much longer.
_START_SECONDS = 60.0
# Time for a stopped worker to finish its current block.
_STOP_SECONDS = 5.0


class DecoderDied(Exception):
    """The worker process ended or does not reply; `str()` is the cause, without the file name.

    Args:
        cause: Cause.
        overdue: True if it is alive but did not reply in time.
    """

    def __init__(self, cause: str, *, overdue: bool = False) -> None:
        super().__init__(cause)
        self.overdue = overdue


class DecoderProcess:
    """Worker process that decodes one file after the other; for one thread at a time.

    Args:
        written_bytes: Largest file that the worker may write; None for a worker that decodes only.
    """

    def __init__(self, written_bytes: int | None = None) -> None:
        self.memory: BlockMemory | None = None
        arguments = [] if written_bytes is None else [str(written_bytes)]
        self._child = ChildProcess("avel_tf.video.isolated.worker", "the decoder", *arguments)
        logger.debug("started decoder %d", self.pid)

    @property
    def pid(self) -> int:
        """Number of the process."""
        return self._child.pid

    def begin(self, request: bytes, memory: BlockMemory | None, stream: int | None = None) -> None:
        """Sends a request; returns when the worker has started on it.

        Args:
            request: Message of `protocol`.
            memory: Shared memory for the blocks; None keeps the present one.
            stream: Descriptor of the live stream, if the request is for one.

        Raises:
            DecoderDied: The worker ended before it started, so the file is not the cause.
        """
        fresh = memory if memory is not self.memory else None
        descriptors = [] if fresh is None else [fresh.descriptor]
        descriptors += [] if stream is None else [stream]
        try:
            self._child.send(request, descriptors)
        except OSError as error:
            raise DecoderDied(
                f"{self._child.how_it_ended()} before it started on the file"
            ) from error
        finally:
            if fresh is not None:
                fresh.close_descriptor()
        self.memory = memory or self.memory
        if self.receive(_START_SECONDS).get("kind") != "begun":
            raise DecoderDied("it sent an unexpected reply")

    def send(self, what: str) -> None:
        """Sends "free" (a slot has been read) or "stop" (end the current file)."""
        try:
            self._child.send(json.dumps({"do": what}).encode())
        except OSError:
            logger.debug("decoder %d is gone", self.pid)  # raised by the next `receive`

    def receive(self, seconds: float) -> dict[str, Any]:
        """Receives the next reply.

        Args:
            seconds: Longest time to wait.

        Raises:
            DecoderDied: The worker ended, did not reply in time, or sent an invalid reply.
        """
        poll = select.poll()  # `select` is limited to descriptors below 1,024
        poll.register(self._child.socket, select.POLLIN)
        if not poll.poll(seconds * 1000):
            raise DecoderDied("it did not reply in time", overdue=True)
        try:
            text = self._child.socket.recv(MESSAGE_BYTES)
        except ConnectionError:
            text = b""
        if not text:
            raise DecoderDied(self._child.how_it_ended())
        try:
            message = json.loads(text)
        except ValueError as error:
            raise DecoderDied("it sent an invalid reply") from error
        if not isinstance(message, dict):
            raise DecoderDied("it sent an invalid reply")
        return message

    def stop_job(self) -> bool:
        """Ends the current file; returns whether the worker can be used again."""
        self.send("stop")
        deadline = time.monotonic() + _STOP_SECONDS
        try:
            while self.receive(max(0.0, deadline - time.monotonic()))["kind"] == "block":
                pass
        except (DecoderDied, KeyError):
            return False
        return True

    def errors(self) -> str:
        """The last words of the worker's error output."""
        return self._child.errors()

    def close(self, *, kill: bool = False) -> None:
        """End the worker; see `ChildProcess.close`."""
        self._child.close(kill=kill)
