"""Workers of a training on this machine, started again when one dies."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

# Exit status of a worker that lost another one: EX_TEMPFAIL of sysexits.h.
WORKER_LOST = 75
# Starts without a finished epoch in between after which a death is taken for a fault.
_MOST_STARTS = 3
_POLL_SECONDS = 0.2


def run_workers(
    command: Sequence[str],
    count: int,
    *,
    epochs_done: Callable[[], int],
    on_restart: Callable[[str], None],
) -> int:
    """Run `avel train` as several processes that train together.

    When one dies, all are started again with `--resume`, which goes on from the last epoch.

    Args:
        command: Arguments of `avel`, without `--workers` and `--index`.
        count: Number of workers.
        epochs_done: Returns the number of epochs that the run has finished.
        on_restart: Called with a sentence before the workers are started again.

    Returns:
        The exit status of the chief, or of the worker that failed.
    """
    starts = 0
    resume: list[str] = []
    while True:
        before = epochs_done()
        addresses = ",".join(f"127.0.0.1:{port}" for port in free_ports(count))
        workers = ["--workers", addresses, "--index"]
        children = [
            _start([*command, *resume, *workers, str(index)], count) for index in range(count)
        ]
        try:
            index, status = _first_failure(children)
        finally:
            _stop(children)
        if status is None:
            return children[0].returncode
        starts = 1 if epochs_done() > before else starts + 1
        if (status > 0 and status != WORKER_LOST) or starts >= _MOST_STARTS:
            return status if status > 0 else 128 - status
        cause = "lost another one" if status > 0 else f"was ended by signal {-status}"
        on_restart(f"Worker {index} {cause}. All are started again from the last epoch.")
        resume = [] if "--resume" in command else ["--resume"]


def _start(arguments: Sequence[str], count: int) -> subprocess.Popen:
    threads = str(max(1, (os.cpu_count() or 1) // count))
    environment = {"TF_NUM_INTRAOP_THREADS": threads, **os.environ}
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "avel_tf.cli", *arguments],
        stdin=subprocess.DEVNULL,
        env=environment,
        start_new_session=True,  # Ctrl-C reaches the command, which ends them
    )


def _first_failure(children: Sequence[subprocess.Popen]) -> tuple[int, int | None]:
    """Number and status of the first worker that fails; status None when all have finished."""
    while True:
        statuses = [child.poll() for child in children]
        # 2: finished, with a remark about some files.
        failed = [i for i, status in enumerate(statuses) if status not in (None, 0, 2)]
        if failed:
            # A signal is the cause where there is one; the others have lost that worker.
            first = min(failed, key=lambda i: statuses[i] or 0)
            return first, statuses[first]
        if None not in statuses:
            return 0, None
        time.sleep(_POLL_SECONDS)


def _stop(children: Sequence[subprocess.Popen]) -> None:
    for child in children:
        # A worker that waits for another one does not react to SIGTERM. Files are written as a
        # whole, so nothing is damaged.
        child.kill()
        child.wait()


def free_ports(count: int) -> list[int]:
    """Ports of this machine that no process listens on."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()
