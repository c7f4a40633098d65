"""Ctrl-C that waits for the next safe moment."""

from __future__ import annotations

import logging
import signal
import threading
from types import FrameType
from typing import Any

logger = logging.getLogger(__name__)


class StopSignal:
    """Turns the first SIGINT or SIGTERM into a wish to stop; the second stops at once.

    SIGTERM counts as well: it is how a cluster takes a machine back, and no fault of the file that
    was in hand. Outside of the main thread, where Python takes no signals, nothing changes.

    Args:
        what: What is finished after the first, for the message.

    Attributes:
        asked: Whether to stop at the next safe moment.

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
                # Whoever started us in the background may have asked for it to be ignored.
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            # None: it was installed by something other than Python, and cannot be put back.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._previous.clear()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        logger.warning("Finishing the %s in hand. Once more, and they are given up.", self._what)
