"""Events posted to a URL as JSON, at least once, read from the journal that has them."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.client
import itertools
import json
import logging
import os
import random
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import SplitResult, unquote, urljoin, urlsplit

from avel_tf import __version__
from avel_tf.inference.settings import WebhookSettings
from avel_tf.utils.text import one_line, valid_unicode

logger = logging.getLogger(__name__)

SCHEMA = 1
# Interval at which the journal is checked for further lines.
_POLL_SECONDS = 0.2
# Pause before the second attempt; it doubles with each further one.
_FIRST_DELAY = 1.0
# Statuses of 4xx that ask to try again: Request Timeout and Too Many Requests (RFC 9110, RFC 6585).
_TRY_AGAIN = {408, 429}
# Redirects of one attempt. All are followed by the same POST, which 307 and 308 require.
_MOST_REDIRECTS = 5
# Refused events that are named in messages; all are counted.
_MOST_NAMED = 10
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Delivery:
    """Numbers of events by what became of them.

    Attributes:
        delivered: Accepted by the receiver in this run.
        refused: Given up, because the receiver answered with a 4xx status.
        waiting: Not accepted yet; the next run posts them.
    """

    delivered: int
    refused: int
    waiting: int


class WebhookAddress:
    """URL of a receiver, with its login apart.

    Args:
        url: An `http://` or `https://` URL. A user name and password become HTTP basic
            authentication.

    Attributes:
        url: The URL without login.
        shown: Its scheme and host. The path is not shown, because it is often the secret.
        headers: Headers of each request.

    Raises:
        ValueError: It is no such URL.
    """

    def __init__(self, url: str) -> None:
        try:
            parts = urlsplit(url)
            host, _ = parts.hostname, parts.port
        except ValueError as error:
            raise ValueError(f"The URL of --on-event is not valid: {error}.") from None
        if parts.scheme.lower() not in _PORTS or not host or not _is_clean(url):
            shown = f"{parts.scheme}://…" if parts.scheme else "no scheme"
            raise ValueError(
                "The URL of --on-event must begin with http:// or https:// and a host, and hold "
                f"printable ASCII without spaces. Received: {shown}"
            )
        self.headers = {
            "Content-Type": "application/json",
            "User-Agent": f"avel-tf/{__version__}",
        }
        login, _, place = parts.netloc.rpartition("@")
        if login:
            self.headers["Authorization"] = (
                f"Basic {base64.b64encode(unquote(login).encode()).decode()}"
            )
        self.url = parts._replace(netloc=place, fragment="").geturl()
        self.shown = f"{parts.scheme.lower()}://{place}"


class EventSender:
    """Posts the events of a journal from a thread of its own, each in a request.

    The journal is the outbox: what is posted is read from it, and a file `.sent` beside it holds
    the position up to which all is delivered. So labelling never waits, memory holds one line, and
    a run that was killed posts again what it may not have delivered. Events keep the order of the
    journal. Receivers recognise an event that comes twice by its `id`.

    Errors of the network, 5xx, 408 and 429 are tried again without end, after pauses that double
    up to `max_delay_seconds`, at random between half and all of it; `Retry-After` is respected. An
    event with any other 4xx is given up. Redirects to another host are not followed.

    Args:
        url: The receiver, `http://` or `https://`.
        journal: File of JSON lines that is being written: results, as of `RunJournal`, or
            payloads.
        settings: Times.

    Raises:
        ValueError: The URL is not valid.

    Example:
        >>> with EventSender("http://127.0.0.1:9000/hook", Path("RESULTS/ledger.jsonl")) as sender:
        ...     ...  # write to the journal
        ...     sender.drain()
        Delivery(delivered=3, refused=0, waiting=0)
    """

    def __init__(self, url: str, journal: Path, settings: WebhookSettings | None = None) -> None:
        self._address = WebhookAddress(url)
        self._journal = journal
        self._settings = settings or WebhookSettings()
        self._opener = urllib.request.build_opener(_NoRedirect)
        self._draining = threading.Event()
        self._stopped = threading.Event()
        self._failed = threading.Event()
        self._delivered = self._refused = 0
        self._progress = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="webhook", daemon=True)

    def __enter__(self) -> EventSender:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        self._position_file = os.open(self._journal.with_suffix(".sent"), flags, 0o666)
        self._offset, self._sent = self._read_position()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stopped.set()
        self._draining.set()  # ends the pause between two looks at the journal
        # The thread is a daemon: an answer that does not come must not keep the process.
        self._thread.join(self._settings.timeout_seconds)
        if not self._thread.is_alive():
            os.fsync(self._position_file)
            os.close(self._position_file)

    def drain(self, should_stop: Callable[[], bool] = lambda: False) -> Delivery:
        """Wait until all events of the journal are delivered or given up.

        Args:
            should_stop: Called several times a second; once it returns True, the wait ends after
                the request in progress.

        Returns:
            Numbers of events. Some are waiting if the receiver took no event for `drain_seconds`.
        """
        self._progress = time.monotonic()
        self._draining.set()
        while self._thread.is_alive() and not should_stop():
            waited = time.monotonic() - self._progress
            # Not before the first attempt, which a short run may not have made yet.
            if waited > self._settings.drain_seconds and self._failed.is_set():
                break
            self._thread.join(_POLL_SECONDS)
        self._stopped.set()
        self._thread.join(self._settings.timeout_seconds)
        waiting = sum(len(payloads) for _, payloads in self._lines()) - self._sent
        return Delivery(self._delivered, self._refused, waiting)

    def _run(self) -> None:
        try:
            self._post_all()
        except OSError as error:
            logger.warning(
                "%s cannot be read: %s. No event is posted.", self._journal, error.strerror
            )

    def _post_all(self) -> None:
        while not self._stopped.is_set():
            ending = self._draining.is_set()  # before the last look, so that no line is missed
            for length, payloads in self._lines():
                for payload in itertools.islice(payloads, self._sent, None):
                    if not self._deliver(payload):
                        return
                    self._sent += 1
                    self._write_position()
                self._offset += length
                self._sent = 0
            self._write_position()
            if ending:
                return
            self._draining.wait(_POLL_SECONDS)

    def _lines(self) -> Iterator[tuple[int, list[dict[str, Any]]]]:
        """Length and payloads of each complete line from the position on."""
        with contextlib.suppress(FileNotFoundError), open(self._journal, "rb") as lines:
            lines.seek(self._offset)
            for line in lines:
                if not line.endswith(b"\n"):  # still being written
                    return
                yield len(line), payloads_of(line)

    def _deliver(self, payload: dict[str, Any]) -> bool:
        """Post an event until it is accepted or given up; returns False if stopped before."""
        began = time.monotonic()
        for attempt in itertools.count():
            problem, wait = self._post(payload)
            if problem is None:
                if attempt:
                    seconds = time.monotonic() - began
                    logger.warning(
                        "%s accepts events again, after %.0f s.", self._address.shown, seconds
                    )
                self._delivered += 1
                break
            if wait is None:
                self._refused += 1
                if self._refused <= _MOST_NAMED:
                    logger.warning(
                        "%s refused the event %s (%s); it is not posted again.",
                        self._address.shown,
                        payload["id"],
                        problem,
                    )
                break
            self._failed.set()
            if not attempt:
                logger.warning(
                    "%s accepts no events (%s). They are kept and posted later.",
                    self._address.shown,
                    problem,
                )
            longest = min(self._settings.max_delay_seconds, _FIRST_DELAY * 2 ** min(attempt, 30))
            pause = max(
                longest * random.uniform(0.5, 1.0), min(wait, self._settings.max_delay_seconds)
            )
            if self._stopped.wait(pause):
                return False
        self._progress = time.monotonic()
        return True

    def _post(self, payload: dict[str, Any]) -> tuple[str | None, float | None]:
        """Post an event once.

        Returns:
            None if it was accepted, else the problem; and the seconds that the receiver asks to
            wait, or None if it refused the event.
        """
        url = self._address.url
        body = json.dumps(payload).encode()
        headers = {**self._address.headers, "Idempotency-Key": payload["id"]}
        for _ in range(_MOST_REDIRECTS + 1):
            request = urllib.request.Request(url, body, headers, method="POST")
            try:
                with self._opener.open(request, timeout=self._settings.timeout_seconds):
                    return None, None
            except urllib.error.HTTPError as error:
                with error:
                    if 300 <= error.code < 400:
                        target = urljoin(url, error.headers.get("Location", ""))
                        if not _same_server(target, url):
                            return (
                                f"it redirects to {_server_of(target)}, which is not followed",
                                0.0,
                            )
                        url = target
                        continue
                    problem = one_line(f"HTTP {error.code} {error.reason}")
                    if 400 <= error.code < 500 and error.code not in _TRY_AGAIN:
                        return problem, None
                    return problem, _seconds(error.headers.get("Retry-After"))
            except (OSError, http.client.HTTPException, ValueError) as error:
                reason = error.reason if isinstance(error, urllib.error.URLError) else error
                return one_line(str(reason) or type(reason).__name__), 0.0
        return f"it redirects more than {_MOST_REDIRECTS} times", 0.0

    def _read_position(self) -> tuple[int, int]:
        """Offset of the first line that is not delivered, and the number of its events that are."""
        try:
            offset, sent = map(int, os.pread(self._position_file, 64, 0).split())
            with open(self._journal, "rb") as journal:
                journal.seek(max(offset - 1, 0))
                # The journal may have been begun anew. All is posted again then.
                if offset == 0 or journal.read(1) == b"\n":
                    return offset, sent
        except (ValueError, OSError):
            pass
        return 0, 0

    def _write_position(self) -> None:
        # In place and of constant length: after kill -9 there is the former position or the new.
        # On a full disk the events after the former position are posted again by the next run.
        with contextlib.suppress(OSError):
            os.pwrite(self._position_file, f"{self._offset:20d} {self._sent:10d}\n".encode(), 0)


def event_payload(
    video: str, identity: object, event: dict[str, Any], model: str | None
) -> dict[str, Any]:
    """Body of the request for one event.

    Args:
        video: The video, as in results.
        identity: A JSON value that changes with the content of the file: size and modification
            time, or the time at which a stream began.
        event: `label`, `start`, `end` and `score`.
        model: Name of the model.

    Returns:
        A JSON object. Its `id` is the same for the same event of the same file.
    """
    key = json.dumps([video, identity, event["label"], event["start"], event["end"]])
    return {
        "schema": SCHEMA,
        "id": hashlib.sha256(key.encode()).hexdigest()[:32],
        "video": valid_unicode(video),
        "label": valid_unicode(event["label"]),
        "start": event["start"],
        "end": event["end"],
        "score": event["score"],
        "model": model,
    }


def payloads_of(line: bytes) -> list[dict[str, Any]]:
    """Bodies of the events in one line of a journal; none in attempts and damaged lines."""
    if line.startswith(b'{"attempt"'):
        return []
    try:
        record = json.loads(line)
        if "id" in record:
            return [record]
        result, stamp = record["result"], record["stamp"]
        return [
            # Without the change time, which a backup by hard links changes.
            event_payload(result["video"], stamp and stamp[:2], event, result["model"])
            for event in result["events"]
        ]
    except (ValueError, TypeError, KeyError, RecursionError):
        return []


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Leaves redirects to `EventSender`, because urllib would turn the POST into a GET."""

    def redirect_request(self, *_: object, **__: object) -> None:
        return None


def _is_clean(url: str) -> bool:
    return url.isascii() and url.isprintable() and " " not in url


def _origin(parts: SplitResult) -> tuple[str, str | None, int | None]:
    return parts.scheme, parts.hostname, parts.port or _PORTS.get(parts.scheme)


def _same_server(one: str, other: str) -> bool:
    try:
        return _is_clean(one) and _origin(urlsplit(one)) == _origin(urlsplit(other))
    except ValueError:
        return False


def _server_of(url: str) -> str:
    return one_line(url.partition("://")[2].partition("/")[0].rpartition("@")[2]) or "nowhere"


def _seconds(retry_after: str | None) -> float:
    """Seconds of a `Retry-After` header; 0 for a date, which the growing pauses cover."""
    return float(retry_after) if retry_after and retry_after.strip().isdigit() else 0.0
