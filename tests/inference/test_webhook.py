"""Events posted to a receiver that is down, slow, or of another opinion."""

from __future__ import annotations

import json
import logging
import threading
import time
from pathlib import Path

import pytest

from avel_tf.events.event import Event
from avel_tf.events.result import Result
from avel_tf.inference.run_journal import RunJournal
from avel_tf.inference.settings import WebhookSettings
from avel_tf.inference.webhook import EventSender, WebhookAddress
from tests.inference.receiver import Receiver
from tests.processes import wait_until

QUICK = WebhookSettings(timeout_seconds=5, max_delay_seconds=0.05, drain_seconds=60)
IMPATIENT = WebhookSettings(timeout_seconds=5, max_delay_seconds=0.05, drain_seconds=0.3)


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture
def receiver() -> Receiver:
    return Receiver()


def result_of(path: Path, events: int = 2) -> Result:
    found = tuple(Event("Bark", 2.0 * n, 2.0 * n + 1, 0.9) for n in range(events))
    return Result(str(path), "ok", None, 20.0, (), found, "demo/1")


def record(folder: Path, *names: str, events: int = 2, fresh: bool = False) -> None:
    """Journal of a run that labelled files of these names."""
    paths = [folder / name for name in names]
    for path in paths:
        path.write_bytes(b"film")
    inputs = [str(path) for path in paths]
    with RunJournal(folder / "out", inputs, setup={}, model="demo/1", fresh=fresh) as journal:
        for path in paths:
            journal.attempt(str(path))
            journal.record(result_of(path, events))


def sender(folder: Path, receiver: Receiver, settings: WebhookSettings = QUICK) -> EventSender:
    return EventSender(receiver.url, folder / "out" / "ledger.jsonl", settings)


def starts(receiver: Receiver) -> list[tuple[str, float]]:
    return [(Path(body["video"]).name, body["start"]) for body in receiver.bodies]


def test_each_event_is_a_request_in_the_order_of_the_journal(tmp_path, receiver):
    record(tmp_path, "b.mp4", "a.mp4")
    with receiver.up(), sender(tmp_path, receiver) as events:
        delivery = events.drain()
    assert (delivery.delivered, delivery.refused, delivery.waiting) == (4, 0, 0)
    assert starts(receiver) == [("b.mp4", 0), ("b.mp4", 2), ("a.mp4", 0), ("a.mp4", 2)]
    path, headers, body = receiver.requests[0]
    assert path == "/hook" and headers["Content-Type"] == "application/json"
    assert headers["Idempotency-Key"] == body["id"]
    assert set(body) == {"schema", "id", "video", "label", "start", "end", "score", "model"}
    assert (body["label"], body["end"], body["score"], body["model"]) == ("Bark", 1, 0.9, "demo/1")
    assert len({body["id"] for body in receiver.bodies}) == 4


def test_the_next_run_posts_nothing_twice(tmp_path, receiver):
    record(tmp_path, "a.mp4")
    for _ in range(2):
        with receiver.up(), sender(tmp_path, receiver) as events:
            events.drain()
    assert len(receiver.bodies) == 2


def test_a_receiver_that_is_down_gets_all_once_it_is_back(tmp_path, receiver, caplog):
    record(tmp_path, "a.mp4", "b.mp4")
    with sender(tmp_path, receiver, IMPATIENT) as events:
        delivery = events.drain()
        assert (delivery.delivered, delivery.waiting) == (0, 4)
    assert [record.getMessage() for record in caplog.records] == [
        f"http://127.0.0.1:{receiver.port} accepts no events ([Errno 111] Connection refused). "
        "They are kept and posted later."
    ]
    with sender(tmp_path, receiver) as events:
        drained = threading.Thread(target=events.drain)
        drained.start()
        time.sleep(0.2)
        with receiver.up():
            drained.join()
    assert starts(receiver) == [("a.mp4", 0), ("a.mp4", 2), ("b.mp4", 0), ("b.mp4", 2)]


@pytest.mark.slow
def test_a_minute_of_absence(tmp_path, receiver):
    """By the pauses of the defaults, while the journal goes on."""
    record(tmp_path, "a.mp4")
    with sender(tmp_path, receiver, WebhookSettings()) as events:
        with RunJournal(
            tmp_path / "out", [str(tmp_path / "b.mp4")], setup={}, model="demo/1"
        ) as journal:
            time.sleep(60)
            journal.record(result_of(tmp_path / "b.mp4"))
        with receiver.up():
            assert events.drain().delivered == 4
    assert starts(receiver) == [("a.mp4", 0), ("a.mp4", 2), ("b.mp4", 0), ("b.mp4", 2)]


@pytest.mark.parametrize("status", [500, 503, 408, 429])
def test_what_may_pass_is_tried_again(tmp_path, receiver, status):
    record(tmp_path, "a.mp4")
    left = [status] * 3
    receiver.answer = lambda _: (left.pop(), {"Retry-After": "0"}) if left else (200, {})
    with receiver.up(), sender(tmp_path, receiver) as events:
        assert events.drain().delivered == 2
    assert len(receiver.requests) == 5 and starts(receiver) == [("a.mp4", 0), ("a.mp4", 2)]
    assert len({body["id"] for _, _, body in receiver.requests[:4]}) == 1


@pytest.mark.parametrize("status", [400, 401, 404, 410, 422])
def test_what_is_refused_is_said_and_not_tried_again(tmp_path, receiver, status, caplog):
    record(tmp_path, "a.mp4", events=3)
    receiver.answer = lambda body: (status if body["start"] == 2 else 200, {})
    with receiver.up(), sender(tmp_path, receiver) as events:
        delivery = events.drain()
    assert (delivery.delivered, delivery.refused, delivery.waiting) == (2, 1, 0)
    refused = receiver.requests[1][2]["id"]
    (said,) = caplog.records
    assert f"refused the event {refused} (HTTP {status}" in said.getMessage()


def test_a_request_to_wait_is_respected(tmp_path, receiver):
    record(tmp_path, "a.mp4", events=1)
    times = []

    def answer(_: object) -> tuple[int, dict[str, str]]:
        times.append(time.monotonic())
        return (200, {}) if len(times) > 1 else (429, {"Retry-After": "1"})

    receiver.answer = answer
    with (
        receiver.up(),
        sender(tmp_path, receiver, WebhookSettings(max_delay_seconds=30)) as events,
    ):
        assert events.drain().delivered == 1
    assert times[1] - times[0] >= 1  # a slow machine only makes it longer


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_redirects_stay_on_the_server(tmp_path, receiver, status):
    record(tmp_path, "a.mp4", events=1)
    other = Receiver()
    receiver.answer = lambda _: (status, {"Location": other.url})
    with receiver.up(), other.up():
        with sender(tmp_path, receiver, IMPATIENT) as events:
            assert events.drain().waiting == 1
        assert not other.requests
        moved = [(status, {"Location": "/moved"}), (200, {})]
        receiver.answer = lambda _: moved.pop(0)
        with sender(tmp_path, receiver) as events:
            assert events.drain().delivered == 1
    assert receiver.requests[-1][0] == "/moved" and len(receiver.bodies) == 1


def test_labelling_never_waits_for_a_slow_receiver(tmp_path, receiver):
    record(tmp_path, "a.mp4")
    release = threading.Event()

    def answer(_: object) -> tuple[int, dict[str, str]]:
        release.wait(60)
        return 200, {}

    receiver.answer = answer
    with receiver.up():
        try:
            with sender(tmp_path, receiver, WebhookSettings(timeout_seconds=0.2)) as events:
                wait_until(lambda: receiver.requests)
                record(tmp_path, "a.mp4", "b.mp4")  # the journal goes on
                assert events.drain(lambda: True).waiting == 6
        finally:
            release.set()


def test_a_killed_run_posts_again_what_may_not_have_come(tmp_path, receiver):
    record(tmp_path, "a.mp4", events=5)
    with receiver.up(), sender(tmp_path, receiver) as events:
        events.drain()
    position = tmp_path / "out" / "ledger.sent"
    offset = int(position.read_text().split()[0])
    assert offset == (tmp_path / "out" / "ledger.jsonl").stat().st_size
    # As before the last two answers came.
    lines = (tmp_path / "out" / "ledger.jsonl").read_bytes().splitlines(keepends=True)
    position.write_text(f"{offset - len(lines[-1]):20d} {3:10d}\n")
    with receiver.up(), sender(tmp_path, receiver) as events:
        assert events.drain().delivered == 2
    ids = [body["id"] for body in receiver.bodies]
    assert ids[5:] == ids[3:5] and len(set(ids)) == 5


@pytest.mark.parametrize("position", ["", "garbage", f"{7:20d} {0:10d}\n", f"{10**9:20d} 1\n"])
def test_a_damaged_position_costs_no_event(tmp_path, receiver, position):
    record(tmp_path, "a.mp4")
    (tmp_path / "out" / "ledger.sent").write_text(position)
    with receiver.up(), sender(tmp_path, receiver) as events:
        assert events.drain().delivered == 2


def test_a_file_that_has_changed_gives_other_ids(tmp_path, receiver):
    record(tmp_path, "a.mp4")
    (tmp_path / "a.mp4").unlink()
    with receiver.up(), sender(tmp_path, receiver) as events:
        events.drain()
        record(tmp_path, "a.mp4")  # written again, at another time
        events.drain()
    with receiver.up(), sender(tmp_path, receiver) as events:
        events.drain()
    assert len(receiver.bodies) == 4 and len({body["id"] for body in receiver.bodies}) == 4


def test_a_fresh_run_posts_its_events_again(tmp_path, receiver):
    for _ in range(2):
        record(tmp_path, "a.mp4", fresh=True)
        with receiver.up(), sender(tmp_path, receiver) as events:
            assert events.drain().delivered == 2


def test_odd_names_are_valid_json_for_any_receiver(tmp_path, receiver):
    record(tmp_path, "\udcff\u202e😀\n.mp4", events=1)
    with receiver.up(), sender(tmp_path, receiver) as events:
        events.drain()
    (body,) = receiver.bodies
    assert Path(body["video"]).name == "\\xff\u202e😀\n.mp4"
    json.dumps(body, ensure_ascii=False).encode("utf-8")


def test_a_login_in_the_address_becomes_a_header(tmp_path, receiver):
    record(tmp_path, "a.mp4", events=1)
    url = receiver.url.replace("//", "//me:secret%21@")
    journal = tmp_path / "out" / "ledger.jsonl"
    with receiver.up(), EventSender(url, journal, QUICK) as events:
        events.drain()
    assert receiver.requests[0][1]["Authorization"] == "Basic bWU6c2VjcmV0IQ=="
    assert "secret" not in WebhookAddress(url).shown and "secret" not in WebhookAddress(url).url


@pytest.mark.parametrize(
    "url",
    ["", "hook", "ftp://a/b", "file:///etc/passwd", "http://", "http:///x", "http://a b/",
     "http://a/\r\nX: y", "http://a:b/", "http://ä/", "http://[::1/"],
)  # fmt: skip
def test_only_web_addresses_are_taken(tmp_path, url):
    with pytest.raises(ValueError, match="URL of --on-event"):
        EventSender(url, tmp_path / "ledger.jsonl")


def test_errors_do_not_show_the_path_of_the_address(tmp_path, receiver, caplog):
    """Many services put their secret there."""
    record(tmp_path, "a.mp4", events=1)
    receiver.url += "/T0123/secret"
    with caplog.at_level(logging.INFO), sender(tmp_path, receiver, IMPATIENT) as events:
        events.drain()
    assert caplog.records and not any("secret" in each.getMessage() for each in caplog.records)
