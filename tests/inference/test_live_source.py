"""A stream that is lost and comes back: a camera on loopback that is switched off and on."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from avel_tf.inference import live_source
from avel_tf.inference.live_source import LiveSource
from avel_tf.video.decode_request import DecodeRequest
from avel_tf.video.decode_settings import DecodeSettings
from avel_tf.video.errors import MediaError
from avel_tf.video.live import live_request
from tests.video.films import SIZE, tone, write_film
from tests.video.test_live import SECONDS, piped, serve_rtsp

SETTINGS = DecodeSettings(max_stall_seconds=20)


@pytest.fixture(scope="module")
def transport(tmp_path_factory) -> bytes:
    path = tmp_path_factory.mktemp("live") / "film.ts"
    return write_film(path, seconds=SECONDS, rate=10, sound=tone(SECONDS, 48_000)).read_bytes()


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_source, "_FIRST_DELAY", 0.2)
    monkeypatch.setattr(live_source, "_LONGEST_DELAY", 0.4)


class Camera:
    """A camera that sends the film to each viewer in turn, and is away in between."""

    def __init__(self, content: bytes, *pauses: float) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"rtsp://me:secret@127.0.0.1:{self.port}/film"
        self._content, self._pauses = content, pauses

    @contextlib.contextmanager
    def on(self) -> Iterator[None]:
        """Serve a viewer, then another one after each pause."""
        ready = threading.Event()

        def serve() -> None:
            for pause in (0.0, *self._pauses):
                time.sleep(pause)
                with socket.create_server(("127.0.0.1", self.port)) as server:
                    ready.set()
                    serve_rtsp(server, self._content)

        thread = threading.Thread(target=serve)
        thread.start()
        ready.wait()
        yield
        thread.join()


def source(url: str, reconnects: int | None, **options) -> LiveSource:
    request = live_request(DecodeRequest(url, size=SIZE, settings=SETTINGS), **options)
    return LiveSource(request, lambda: False, reconnects)


@pytest.mark.slow
def test_a_stream_that_comes_back_goes_on_by_the_clock(transport, caplog):
    camera = Camera(transport, SECONDS + 3.0)  # the film is sent at once, so it is 3 s late
    live = source(camera.url, 40)
    with camera.on():
        found = []
        for came, clip in live.segments():
            found.append((came, clip))
            if sum(each is not None for _, each in found) == 2 * SECONDS:
                break  # or it would be opened again
    there = [clip is not None for _, clip in found]
    # Missing seconds come while the stream is away.
    assert found[SECONDS][0] < found[-SECONDS][0]
    assert there[:SECONDS] == [True] * SECONDS and there[-SECONDS:] == [True] * SECONDS
    missing = there.count(False)
    assert missing >= 2 and not any(there[SECONDS:-SECONDS])
    # The first second after the interruption is where the clock has it.
    assert round(found[-SECONDS][0] - found[0][0]) == SECONDS + missing
    assert (
        f"was interrupted once; {missing} s are missing: 5–{SECONDS + missing} s." in live.problem
    )
    said = [record.getMessage() for record in caplog.records]
    assert "was lost (" in said[0] and said[-1].endswith(f"Missing seconds: 5–{5 + missing} s.")
    assert not any("secret" in each for each in said)


def test_a_stream_that_stays_away_ends_with_a_sentence(transport):
    camera = Camera(transport)
    live = source(camera.url, 2)
    with camera.on():
        found = [clip is not None for _, clip in live.segments()]
    assert found[:SECONDS] == [True] * SECONDS and not any(found[SECONDS:])
    assert live.problem.startswith("The stream was lost at 5 s and did not come back:")
    assert "refused" in live.problem


def test_without_attempts_the_stream_ends_as_it_did(transport):
    camera = Camera(transport)
    live = source(camera.url, 0)
    with camera.on():
        assert len(list(live.segments())) == SECONDS
    assert live.problem is None


def test_the_end_of_standard_input_is_an_end(transport, caplog):
    with piped(transport) as descriptor:
        live = source("-", None, descriptor=descriptor)
        assert len(list(live.segments())) == SECONDS
    assert live.problem is None and not caplog.records


def test_a_stream_that_was_never_there_is_not_tried_again(caplog):
    with pytest.raises(MediaError, match="refused"):
        list(source("rtsp://127.0.0.1:9/a", None).segments())
    assert not caplog.records


def test_a_signal_ends_the_wait(transport):
    camera = Camera(transport)
    stop = threading.Event()
    request = live_request(DecodeRequest(camera.url, size=SIZE, settings=SETTINGS))
    live = LiveSource(request, stop.is_set, None)
    with camera.on():
        count = 0
        for _, clip in live.segments():
            count += clip is not None
            if count == SECONDS and clip is not None:
                threading.Timer(0.5, stop.set).start()
    assert count == SECONDS
