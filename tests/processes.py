"""Waiting for other processes, and being an ordinary user."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Callable, Iterator

# The user to whom nothing belongs, by Linux's own default (/proc/sys/kernel/overflowuid).
NOBODY = 65534
# Nothing that a test waits for takes as long, on any machine: this ends a test that hangs.
HANGS = 600.0  # seconds


def wait_until(condition: Callable[[], object], process: subprocess.Popen | None = None) -> None:
    """Waits for a state; fails if it never comes or the process that brings it ends."""
    end = time.monotonic() + HANGS
    while not condition():
        if process is not None and process.poll() is not None:
            raise AssertionError(f"the process ended with {process.returncode} before its time")
        if time.monotonic() > end:
            raise AssertionError(f"the state did not come within {HANGS:.0f} s")
        time.sleep(0.001)


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
