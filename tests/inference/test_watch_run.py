"""avel infer --watch as a process: files come and go, signals and kill -9, and the next run."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from avel_tf.events.result import read_results
from tests.inference.fake_avel import make_model
from tests.inference.receiver import Receiver
from tests.inference.test_resume import infer, results_in, run_child, start
from tests.processes import wait_until

# The fake model labels any bytes, so files are taken without being opened.
WATCH = ("--watch", "--set", "watch.poll_seconds=0.05", "--set", "watch.settle_seconds=0.2")
WATCH += ("--set", "watch.patience_seconds=0.2", "--formats", "jsonl,csv")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return make_model(tmp_path / "saved_models" / "fake" / "1")


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    (tmp_path / "inbox").mkdir()
    return tmp_path / "inbox"


def put(inbox: Path, *names: str, content: bytes = b"film") -> None:
    for name in names:
        (inbox / name).write_bytes(content)


def names_in(out: Path) -> list[str]:
    """Base names of the results in the journal, in the order in which they came."""
    return [os.path.basename(path) for path in results_in(out / "ledger.jsonl")]


@contextlib.contextmanager
def watching(inbox: Path, model: Path, out: Path, *more: str, **options) -> Iterator:
    run = start(inbox, model, out, *WATCH, *more, **options)
    try:
        yield run
    finally:
        if run.poll() is None:
            run.kill()
        run.communicate(timeout=600)


def end(run: subprocess.Popen, number: signal.Signals = signal.SIGTERM) -> str:
    run.send_signal(number)
    output, errors = run.communicate(timeout=600)
    assert run.returncode == 0 and "Traceback" not in errors, errors
    return output


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_new_files_are_labelled_until_a_signal(inbox, model, tmp_path, number):
    out = tmp_path / "out"
    put(inbox, "a.mp4")
    with watching(inbox, model, out) as run:
        wait_until(lambda: names_in(out) == ["a.mp4"], run)
        put(inbox, "b.mp4", "b.mp4.part", "c.mp4", content=b"broken")
        wait_until(lambda: len(names_in(out)) == 3, run)
        wait_until(lambda: len((out / "results.jsonl").read_bytes().splitlines()) == 3, run)
        output = end(run, number)
    assert "3 files: 1 ok, 0 partial, 2 quarantined" in output
    assert sorted(line.partition(": ")[0] for line in output.splitlines() if "inbox" in line) == [
        str(inbox / name) for name in ("a.mp4", "b.mp4", "c.mp4")
    ]


def test_a_restart_labels_nothing_twice_and_keeps_what_is_gone(inbox, model, tmp_path):
    out = tmp_path / "out"
    put(inbox, "a.mp4", "b.mp4", "c.mp4")
    with watching(inbox, model, out) as run:
        wait_until(lambda: len(names_in(out)) == 3, run)
        end(run)
    (inbox / "a.mp4").unlink()
    put(inbox, "b.mp4", content=b"another film")
    put(inbox, "d.mp4")
    with watching(inbox, model, out) as run:
        wait_until(lambda: len(names_in(out)) == 5, run)
        time.sleep(0.5)
        end(run)
    came = names_in(out)
    assert sorted(came[:3]) == ["a.mp4", "b.mp4", "c.mp4"] and sorted(came[3:]) == [
        "b.mp4",
        "d.mp4",
    ]
    found = [Path(each.video).name for each in read_results(out / "results.jsonl")]
    assert found == list(dict.fromkeys(came))
    # A run without --watch goes on from the same journal, with the files that there are.
    assert infer(inbox, model, out)[0] == 0
    assert names_in(out)[5:] == [] and len(list(read_results(out / "results.jsonl"))) == 3


def test_a_file_that_grows_is_labelled_once_as_a_whole(inbox, model, tmp_path):
    out = tmp_path / "out"
    with watching(inbox, model, out) as run:
        wait_until((out / "results.jsonl").exists, run)
        with open(inbox / "a.mp4", "wb", buffering=0) as file:
            for _ in range(12):
                file.write(b"film")
                time.sleep(0.05)
        wait_until(lambda: names_in(out), run)
        end(run)
    stamps = [json.loads(line) for line in (out / "ledger.jsonl").read_bytes().splitlines()]
    assert [each["stamp"][0] for each in stamps if "result" in each] == [48]


@pytest.mark.slow
def test_a_file_removed_before_its_turn_gets_no_result(inbox, model, tmp_path):
    out = tmp_path / "out"
    names = [f"{number}.mp4" for number in range(6)]
    put(inbox, *names, content=b"broken")  # read after FAKE_SECONDS
    with watching(inbox, model, out, "--set", "data.workers=1", seconds=0.5) as run:
        wait_until(lambda: (out / "ledger.jsonl").exists() and b"attempt" in read(out), run)
        (inbox / names[-1]).unlink()
        wait_until(lambda: len(names_in(out)) == 5, run)
        end(run)
    assert sorted(names_in(out)) == names[:-1]


def read(out: Path) -> bytes:
    return (out / "ledger.jsonl").read_bytes()


@pytest.mark.slow
def test_killed_again_and_again_each_file_is_labelled_once(inbox, model, tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    out, receiver = tmp_path / "out", Receiver()
    receiver_options = ("--on-event", receiver.url, "--set", "webhook.max_delay_seconds=0.1")
    with receiver.up():
        for number in range(6):
            put(inbox, *(f"{number:02d}-{each}.mp4" for each in range(3)))
            with watching(inbox, model, out, *receiver_options, seconds=0.02) as run:
                goal = 3 * number + 2
                wait_until(lambda: len(names_in(out)) >= goal, run)  # noqa: B023
                run.kill()
        with watching(inbox, model, out, *receiver_options) as run:
            wait_until(lambda: len(names_in(out)) == 18, run)
            sent = out / "ledger.sent"
            wait_until(lambda: int(sent.read_text().split()[0]) == len(read(out)), run)
            end(run)
    assert len(set(names_in(out))) == 18
    # A file that was in progress at two kills is quarantined, and has no event.
    ok = {
        Path(each.video).name for each in read_results(out / "results.jsonl") if each.status == "ok"
    }
    seen = list(dict.fromkeys(Path(body["video"]).name for body in receiver.bodies))
    assert len(ok) > 8 and seen == [name for name in names_in(out) if name in ok]


@pytest.mark.slow
def test_a_file_that_kills_the_process_twice_is_quarantined(inbox, model, tmp_path):
    out = tmp_path / "out"
    put(inbox, "a.mp4", "c.mp4")
    put(inbox, "b.mp4", content=b"poison")
    for _ in range(2):
        with watching(inbox, model, out, "--set", "data.workers=1") as run:
            assert run.wait(600) == -signal.SIGKILL
    with watching(inbox, model, out) as run:
        wait_until(lambda: len(names_in(out)) == 3, run)
        end(run)
    by_name = {Path(each.video).name: each for each in read_results(out / "results.jsonl")}
    assert "died twice" in by_name["b.mp4"].reason and by_name["a.mp4"].status == "ok"


def test_events_are_posted_while_files_come(inbox, model, tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    out, receiver = tmp_path / "out", Receiver()
    more = ("--on-event", receiver.url, "--set", "webhook.max_delay_seconds=0.1")
    put(inbox, "a.mp4")
    with watching(inbox, model, out, *more) as run:
        wait_until(lambda: names_in(out) == ["a.mp4"], run)  # nobody receives yet
        put(inbox, "b.mp4")
        wait_until(lambda: len(names_in(out)) == 2, run)
        with receiver.up():
            wait_until(lambda: len(receiver.bodies) == 2, run)
            assert "Events: 2 delivered" in end(run)
    assert [Path(body["video"]).name for body in receiver.bodies] == ["a.mp4", "b.mp4"]


def test_a_batch_run_says_which_events_are_left(inbox, model, tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    out, receiver = tmp_path / "out", Receiver()
    more = ["--on-event", receiver.url, "--set", "webhook.drain_seconds=0"]
    put(inbox, "a.mp4", "b.mp4")
    code, output, errors = run_child(inbox, model, out, *more)
    assert code == 2 and "0 delivered, 2 waiting; the same command posts them" in output
    assert "accepts no events" in errors
    with receiver.up():
        code, output, _ = infer(inbox, model, out, *more[:2])
    assert code == 0 and "Events: 2 delivered" in output and len(receiver.bodies) == 2


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--watch"], "--watch takes folders that exist"),
        (["--on-event", "ftp://a"], "must begin with http:// or https://"),
    ],
)
def test_what_cannot_work_is_said_at_once(inbox, model, tmp_path, words, sentence):
    put(inbox, "a.mp4")
    code, _, errors = infer(inbox / "a.mp4", model, tmp_path / "out", *words)
    assert code == 1 and sentence in errors and not (tmp_path / "out").exists()
