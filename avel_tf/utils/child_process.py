"""Child processes that run a module of this package, connected by a socket."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

# Time for a child to end when its socket is closed, or to be reaped when it has died.
_END_SECONDS = 5.0


class ChildProcess:
    """Module of this package that runs as a child process: `python -m MODULE DESCRIPTOR ...`.

    The child is a new interpreter. A fork would copy the locks of TensorFlow's threads in whatever
    state they are, and `multiprocessing` would run the caller's main module again. If the child
    calls `end_with_parent`, it ends with this object or with this process, even if this process is
    killed.

    Args:
        module: Name of the module.
        role: Name of the process in messages, such as `the decoder`.
        *arguments: Further arguments of the module.

    Attributes:
        socket: Connected to the socket whose descriptor the child receives; keeps messages apart.

    Raises:
        OSError: The process cannot be started.
    """

    def __init__(self, module: str, role: str, *arguments: str) -> None:
        self._role = role
        self.socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        # Error output goes to memory of limited size, because it should not disturb the terminal
        # and would block the child if it filled a pipe.
        self._errors = os.memfd_create("avel-errors", os.MFD_CLOEXEC)
        try:
            with theirs:
                self._process = subprocess.Popen(
                    # -P: no module is imported from the folder of a video.
                    [sys.executable, "-P", "-m", module, str(theirs.fileno()), *arguments],
                    pass_fds=(theirs.fileno(),),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=self._errors,
                    cwd="/",
                    # OpenBLAS would reserve memory for threads that no child uses.
                    env={**child_environment(), "OPENBLAS_NUM_THREADS": "1"},
                    # In its own session it does not receive Ctrl-C, which the parent handles.
                    start_new_session=True,
                )
        except OSError:
            self.socket.close()
            raise

    @property
    def pid(self) -> int:
        """Number of the process."""
        return self._process.pid

    def send(self, message: bytes, descriptors: Sequence[int] = ()) -> None:
        """Send a message, and descriptors that the child gets copies of.

        Raises:
            OSError: The child has ended.
        """
        socket.send_fds(self.socket, [message], descriptors)

    def errors(self) -> str:
        """The last 2,000 bytes of the child's error output."""
        size = os.fstat(self._errors).st_size
        return os.pread(self._errors, 2000, max(0, size - 2000)).decode("utf-8", "replace").strip()

    def close(self, *, kill: bool = False) -> None:
        """End the child, at once with `kill`, else when it notices the closed socket."""
        if self.socket.fileno() < 0:
            return
        with contextlib.suppress(OSError):  # it is not connected any more
            self.socket.shutdown(socket.SHUT_RDWR)  # ends a `recv` of another thread
        self.socket.close()
        if kill:
            self._process.kill()
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def __del__(self) -> None:
        # Not in `close`, because another thread may read the errors.
        if hasattr(self, "_errors"):
            os.close(self._errors)

    def exit_code(self) -> int | None:
        """Exit code of a child that has ended, as of `Popen`; None if it is still alive."""
        try:
            return self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            return None

    def how_it_ended(self) -> str:
        """Clause about the end of the child, after its socket was found closed."""
        code = self.exit_code()
        if code is None:
            return f"{self._role} closed the connection"
        if code >= 0:
            return f"{self._role} ended with exit code {code}"
        hint = ", as the system does when memory runs out" if -code == signal.SIGKILL else ""
        return f"{self._role} was killed by signal {signal_name(-code)}{hint}"


def signal_name(number: int) -> str:
    """Number and name of a signal, such as `11 (SIGSEGV)`."""
    names = {each.value: each.name for each in signal.Signals}
    return f"{number} ({names[number]})" if number in names else str(number)


def child_environment() -> dict[str, str]:
    """Environment of this process, in which this package can be imported from any folder."""
    home = Path(__file__).resolve().parents[2]
    inherited = [part for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part]
    paths = [*map(os.path.abspath, inherited), str(home)]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


def end_with_parent(descriptor: int) -> None:
    """In the child: end the process as soon as the parent closes its end of the socket.

    A cluster may send SIGTERM to every process when it reclaims a machine. A child that ended
    before its parent would be reported as crashed, so it ignores SIGTERM.
    """
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.Thread(target=_wait_for_end, args=(descriptor,), daemon=True).start()


def _wait_for_end(descriptor: int) -> None:
    poll = select.poll()
    poll.register(descriptor, 0)  # poll always reports a hang-up
    poll.poll()
    os._exit(0)
