"""Handle of one decoding worker process."""

from __future__ import annotations

import json
import logging
import os
import select
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

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

    The worker is a new interpreter. A fork would copy the locks of TensorFlow's threads in whatever
    state they are, and `multiprocessing` would run the caller's main module again. The worker ends
    with this object or with this process, even if this process is killed.

    Args:
        written_bytes: Largest file that the worker may write; None for a worker that decodes only.
    """

    def __init__(self, written_bytes: int | None = None) -> None:
        self.memory: BlockMemory | None = None
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        # Error output goes to memory of limited size, because it should not disturb the terminal
        # and would block the worker if it filled a pipe.
        self._errors = os.memfd_create("avel-errors", os.MFD_CLOEXEC)
        with theirs:
            arguments = [str(theirs.fileno())]
            if written_bytes is not None:
                arguments.append(str(written_bytes))
            self._process = subprocess.Popen(
                # -P: no module is imported from the folder of a video.
                [sys.executable, "-P", "-m", "avel_tf.video.isolated.worker", *arguments],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._errors,
                cwd="/",
                env=_environment(),
                # In its own session the worker does not receive Ctrl-C, which the parent handles.
                start_new_session=True,
            )
        logger.debug("started decoder %d", self.pid)

    @property
    def pid(self) -> int:
        """Number of the process."""
        return self._process.pid

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
            socket.send_fds(self._socket, [request], descriptors)
        except OSError as error:
            raise DecoderDied(f"{self._how_it_ended()} before it started on the file") from error
        finally:
            if fresh is not None:
                fresh.close_descriptor()
        self.memory = memory or self.memory
        if self.receive(_START_SECONDS).get("kind") != "begun":
            raise DecoderDied("it sent an unexpected reply")

    def send(self, what: str) -> None:
        """Sends "free" (a slot has been read) or "stop" (end the current file)."""
        try:
            self._socket.send(json.dumps({"do": what}).encode())
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
        poll.register(self._socket, select.POLLIN)
        if not poll.poll(seconds * 1000):
            raise DecoderDied("it did not reply in time", overdue=True)
        try:
            text = self._socket.recv(MESSAGE_BYTES)
        except ConnectionError:
            text = b""
        if not text:
            raise DecoderDied(self._how_it_ended())
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
        """The last 2,000 bytes of the worker's error output."""
        size = os.fstat(self._errors).st_size
        return os.pread(self._errors, 2000, max(0, size - 2000)).decode("utf-8", "replace").strip()

    def close(self, *, kill: bool = False) -> None:
        """Ends the worker, at once with `kill`, else when it notices the closed socket."""
        if self._socket.fileno() < 0:
            return
        self._socket.close()
        if kill:
            self._process.kill()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._errors)

    def _how_it_ended(self) -> str:
        try:
            code = self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            return "the decoder closed the connection"
        if code >= 0:
            return f"the decoder ended with exit code {code}"
        names = {each.value: each.name for each in signal.Signals}
        name = f" ({names[-code]})" if -code in names else ""
        hint = ", as the system does when memory runs out" if -code == signal.SIGKILL else ""
        return f"the decoder was killed by signal {-code}{name}{hint}"


def _environment() -> dict[str, str]:
    """Environment of this process, in which this package can be imported from any folder."""
    home = Path(__file__).resolve().parents[2]
    inherited = [part for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part]
    paths = [*map(os.path.abspath, inherited), str(home)]
    # OpenBLAS would reserve memory for threads that decoding does not use.
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OPENBLAS_NUM_THREADS": "1"}
