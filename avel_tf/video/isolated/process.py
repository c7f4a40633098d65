"""A decoding child process, as its parent sees it."""

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

# A child starts in half a second; a machine that swaps may take much longer.
_START_SECONDS = 60.0
# How long a child that was told to stop may go on with the block it is at.
_STOP_SECONDS = 5.0


class DecoderDied(Exception):
    """The child is gone or does not answer; `str()` says how, without the file's name.

    Args:
        cause: What happened.
        overdue: Whether it was alive and did not answer in time.
    """

    def __init__(self, cause: str, *, overdue: bool = False) -> None:
        super().__init__(cause)
        self.overdue = overdue


class DecoderProcess:
    """Starts one child and talks to it. One thread at a time may use it.

    A new interpreter, not a fork, which would copy the locks of TensorFlow's threads in whatever
    state they are; and not `multiprocessing`, which would run the caller's main module again.
    The child ends when this object goes, or when this process does, however it ends.
    """

    def __init__(self) -> None:
        self.memory: BlockMemory | None = None
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        # In memory and of limited size: what a library shouts before it dies shall neither
        # disturb the terminal nor fill a pipe that nobody empties.
        self._errors = os.memfd_create("avel-errors", os.MFD_CLOEXEC)
        with theirs:
            self._process = subprocess.Popen(
                # -P: no module is imported from a folder of films.
                [sys.executable, "-P", "-m", "avel_tf.video.isolated.worker", str(theirs.fileno())],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._errors,
                cwd="/",
                env=_environment(),
                # Ctrl-C is for the parent to obey; a child of its own session never sees it.
                start_new_session=True,
            )
        logger.debug("started decoder %d", self.pid)

    @property
    def pid(self) -> int:
        """Number of the process."""
        return self._process.pid

    def begin(self, request: bytes, memory: BlockMemory | None, stream: int | None = None) -> None:
        """Asks for a file; when this returns, the child is at it.

        Args:
            request: What is wanted of it.
            memory: Where its seconds shall go; None leaves things as they are.
            stream: Descriptor of an open stream, where the request is about one.

        Raises:
            DecoderDied: Before it began, so the file has nothing to do with it.
        """
        fresh = memory if memory is not self.memory else None
        descriptors = [] if fresh is None else [fresh.descriptor]
        descriptors += [] if stream is None else [stream]
        try:
            socket.send_fds(self._socket, [request], descriptors)
        except OSError as error:
            raise DecoderDied(f"{self._how_it_ended()} before it began") from error
        finally:
            if fresh is not None:
                fresh.close_descriptor()
        self.memory = memory or self.memory
        if self.receive(_START_SECONDS).get("kind") != "begun":
            raise DecoderDied("it answered out of turn")

    def tell(self, what: str) -> None:
        """Sends "free" (a slot) or "stop" (no more of this file)."""
        try:
            self._socket.send(json.dumps({"do": what}).encode())
        except OSError:
            logger.debug("decoder %d is gone", self.pid)  # which the next `receive` tells

    def receive(self, seconds: float) -> dict[str, Any]:
        """The next message.

        Args:
            seconds: How long to wait.

        Raises:
            DecoderDied: It died, or nothing came in time, or nonsense.
        """
        poll = select.poll()  # `select` knows no descriptor above 1,023
        poll.register(self._socket, select.POLLIN)
        if not poll.poll(seconds * 1000):
            raise DecoderDied("it did not answer in time", overdue=True)
        try:
            text = self._socket.recv(MESSAGE_BYTES)
        except ConnectionError:
            text = b""
        if not text:
            raise DecoderDied(self._how_it_ended())
        try:
            message = json.loads(text)
        except ValueError as error:
            raise DecoderDied("it answered nonsense") from error
        if not isinstance(message, dict):
            raise DecoderDied("it answered nonsense")
        return message

    def stop_job(self) -> bool:
        """Ends the file in hand; returns whether the child can be used again."""
        self.tell("stop")
        deadline = time.monotonic() + _STOP_SECONDS
        try:
            while self.receive(max(0.0, deadline - time.monotonic()))["kind"] == "block":
                pass
        except (DecoderDied, KeyError):
            return False
        return True

    def errors(self) -> str:
        """The end of what the child wrote to its standard error."""
        size = os.fstat(self._errors).st_size
        return os.pread(self._errors, 2000, max(0, size - 2000)).decode("utf-8", "replace").strip()

    def close(self, *, kill: bool = False) -> None:
        """Ends the child: at once when killed, else as soon as it sees that nobody is there."""
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
            return "the decoder hung up"
        if code >= 0:
            return f"the decoder ended with exit code {code}"
        names = {each.value: each.name for each in signal.Signals}
        name = f" ({names[-code]})" if -code in names else ""
        hint = ", as the system does when memory runs out" if -code == signal.SIGKILL else ""
        return f"the decoder was killed by signal {-code}{name}{hint}"


def _environment() -> dict[str, str]:
    """That of this process, with this very package in reach from any folder."""
    home = Path(__file__).resolve().parents[2]
    inherited = [part for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part]
    paths = [*map(os.path.abspath, inherited), str(home)]
    # NumPy's matrix library would hold memory for threads that decoding never uses.
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OPENBLAS_NUM_THREADS": "1"}
