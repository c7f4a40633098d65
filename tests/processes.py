"""Conditions of the process and the machine that tests run in."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Callable, Iterator

from avel_tf.engines.available import computes_in_bfloat16

# The user to whom nothing belongs, by Linux's own default (/proc/sys/kernel/overflowuid).
NOBODY = 65534
# Nothing that a test waits for takes as long, on any machine: this ends a test that hangs.
HANGS = 600.0  # seconds


def wait_until(
    condition: Callable[[], object],
    process: subprocess.Popen | None = None,
    *,
    every: float = 0.001,
) -> None:
    """Waits for a state; fails if it never comes or the process that brings it ends."""
    end = time.monotonic() + HANGS
    while True:
        began = time.monotonic()
        if condition():
            return
        if process is not None and process.poll() is not None:
            raise AssertionError(f"the process ended with {process.returncode} before its time")
        if time.monotonic() > end:
            raise AssertionError(f"the state did not come within {HANGS:.0f} s")
        # A condition that asks a server takes processor time from those who bring the state.
        time.sleep(max(every, min(0.2, 4 * (time.monotonic() - began))))


def shared_memory() -> set[str]:
    """Returns the names of shared memory, without the semaphores of scikit-learn elsewhere."""
    return {name for name in os.listdir("/dev/shm") if not name.startswith("sem.loky-")}


def bfloat16_crashes() -> bool:
    """Returns True if TensorFlow cannot compute in bfloat16 because oneDNN is limited.

    TensorFlow asks the processor, not oneDNN, whether there is bfloat16. With `ONEDNN_MAX_CPU_ISA`
    below what the processor has, it calls a primitive that was not created, and the process ends.
    """
    limited = "ONEDNN_MAX_CPU_ISA" in os.environ and os.environ.get("TF_ENABLE_ONEDNN_OPTS") != "0"
    return limited and not computes_in_bfloat16()


@contextlib.contextmanager
def not_as_root() -> Iterator[None]:
    """Without root's right to read and write every file, also where root runs the tests."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(user)
