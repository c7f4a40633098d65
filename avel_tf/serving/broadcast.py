"""Changes of jobs and videos, broadcast to connected pages as server-sent events."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

# Proxies close connections that are silent for a minute or less.
_HEARTBEAT_SECONDS = 15.0


class Broadcast:
    """Sends changes to subscribers within one event loop.

    A subscriber that reads slowly gets the last change of each object only, so it holds at most one
    message per object.
    """

    def __init__(self) -> None:
        self._subscribers: set[_Subscriber] = set()
        self._closed = False

    def publish(self, event: str, record: dict[str, Any]) -> None:
        """Send an object with an `id` to all subscribers."""
        for each in self._subscribers:
            each.pending[event, record["id"]] = record
            each.arrived.set()

    @contextlib.contextmanager
    def subscription(self) -> Iterator[AsyncIterator[tuple[str, dict[str, Any]]]]:
        """Subscribe to the changes from now on.

        Returns:
            A context manager of the changes, which end when the broadcast is closed; `("", {})`
            when there was none for long.
        """
        subscriber = _Subscriber()
        self._subscribers.add(subscriber)
        try:
            yield self._changes(subscriber)
        finally:
            self._subscribers.discard(subscriber)

    async def _changes(self, subscriber: _Subscriber) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        while not self._closed:
            try:
                await asyncio.wait_for(subscriber.arrived.wait(), _HEARTBEAT_SECONDS)
            except TimeoutError:
                yield "", {}
                continue
            subscriber.arrived.clear()
            pending, subscriber.pending = subscriber.pending, {}
            for (event, _), record in pending.items():
                yield event, record

    def close(self) -> None:
        """End all streams."""
        self._closed = True
        for each in self._subscribers:
            each.arrived.set()


class _Subscriber:
    def __init__(self) -> None:
        self.pending: dict[tuple[str, str], dict[str, Any]] = {}
        self.arrived = asyncio.Event()


def as_event(event: str, record: dict[str, Any]) -> bytes:
    """Server-sent event of a change; a comment when `event` is empty.

    Reference:
        https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
    """
    if not event:
        return b": nothing new\n\n"
    return f"event: {event}\ndata: {json.dumps(record)}\n\n".encode()
