"""Deferred handling of SIGINT and SIGTERM."""

from __future__ import annotations

import logging
import signal
import threading
import time
from types import FrameType
from typing import Any

logger = logging.getLogger(__name__)

# Interval at which `StopSignal.wait` checks for a signal.
_CHECK_SECONDS = 0.1


class StopSignal:
    """Context in which the first SIGINT or SIGTERM requests a stop, and the second one interrupts.

    SIGTERM is included because clusters send it to reclaim a machine. Outside the main thread, in
    which alone Python handles signals, the context has no effect.

    Args:
        what: Plural of the things that are finished after the first signal, for the message.

    Attributes:
        asked: True after the first signal.

    Example:
        >>> with StopSignal() as stop:
        ...     while not stop.asked: ...
    """

    def __init__(self, what: str = "files") -> None:
        self._what = what
        self.asked = False
        self._previous: dict[signal.Signals, Any] = {}

    def __enter__(self) -> StopSignal:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                # A process in the background may have been started with the signal ignored.
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            # None: the handler was not installed by Python and cannot be restored.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._previous.clear()

    def wait(self, seconds: float) -> None:
        """Sleep for some seconds, or until the first signal."""
        end = time.monotonic() + seconds
        while not self.asked and (left := end - time.monotonic()) > 0:
            time.sleep(min(left, _CHECK_SECONDS))

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        logger.warning("Finishing the %s in progress. A second signal abandons them.", self._what)
