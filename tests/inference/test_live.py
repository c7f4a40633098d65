"""A stream labelled while it comes: by a real model, in this process and through `avel infer`."""

from __future__ import annotations

import contextlib
import copy
import functools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from avel_tf.cli.main import main
from avel_tf.events.result import read_results
from avel_tf.inference.live import LiveWindow, localize_live
from avel_tf.inference.pipeline import InferencePipeline
from avel_tf.inference.settings import InferenceSettings
from avel_tf.video.decode_settings import DecodeSettings
from tests.conftest import FLOAT32
from tests.video.films import tone, write_film
from tests.video.test_live import piped

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 8
SHORT = DecodeSettings(max_stall_seconds=1.5)


@pytest.fixture(scope="module")
def film(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("live") / "film.ts"
    return write_film(path, seconds=SECONDS, rate=8, sound=tone(SECONDS, 48_000))


@pytest.fixture(scope="module")
def pipeline(exported) -> InferencePipeline:
    """Labels a second when all of a window has come behind it."""
    inference = InferenceSettings(live_lookahead_seconds=9)
    pipeline = InferencePipeline(exported, inference=inference, media=SHORT, engine=FLOAT32)
    pipeline.live_engine = functools.cache(pipeline.live_engine)  # one for all streams
    return pipeline


# Which window labels which second


@given(seconds=st.integers(0, 30), window=st.integers(1, 12), data=st.data())
def test_each_second_is_labelled_once_by_the_latest_window(seconds, window, data):
    lookahead = data.draw(st.integers(0, window - 1))

    def predict(visual: np.ndarray, audio: np.ndarray, valid: np.ndarray) -> np.ndarray:
        assert visual.shape == audio.shape == (*valid.shape, 1) and visual.shape[1] <= window
        # What a second is told: its own place, and the last one of its window.
        return np.stack(np.broadcast_arrays(visual[..., 0], visual[:, -1:, 0]), -1)

    live = LiveWindow(predict, window_seconds=window, lookahead_seconds=lookahead)
    told = []
    for place in range(seconds):
        now = list(live.add(np.full(1, place), np.full(1, place), np.True_))
        assert len(now) == (place >= lookahead)
        told += now
    told += live.end()
    assert [place for place, _ in told] == list(range(seconds))
    for place, (own, last) in told:
        assert (own, last) == (place, min(place + lookahead, seconds - 1))


def test_settings_have_limits():
    InferenceSettings(live_lookahead_seconds=0)
    for wrong in (-1, 10):
        with pytest.raises(ValueError, match=f"live_lookahead_seconds must be .*{wrong}"):
            InferenceSettings(live_lookahead_seconds=wrong)


# In this process


@pytest.mark.slow
def test_a_stream_that_fits_a_window_is_labelled_as_the_file(pipeline, film):
    told = []
    with piped(film.read_bytes()) as descriptor:
        found = localize_live(pipeline, "-", on_segment=told.append, descriptor=descriptor)
    ((_, expected),) = pipeline.label_files([str(film)])
    assert (found.video, found.status, found.reason) == ("-", "ok", None)
    assert (found.duration, found.model) == (SECONDS, "tiny/1")
    assert [each.second.label for each in told] == [each.label for each in expected.seconds]
    assert [each.start for each in found.seconds] == list(range(SECONDS))
    for each, one, other in zip(told, found.seconds, expected.seconds, strict=True):
        assert each.second.score == pytest.approx(one.score) == pytest.approx(other.score, abs=1e-4)
    line = json.loads(told[3].to_json())
    assert list(line) == ["start", "end", "label", "score", "delay"]
    assert (line["start"], line["end"]) == (3, 4) and 0 <= line["delay"] < 60


@pytest.mark.slow
def test_labels_come_while_the_stream_does(pipeline, film):
    """And the delay tells how long a second waited for those behind it."""
    pipeline = copy.copy(pipeline)
    pipeline.inference = InferenceSettings()
    content, told, gate = film.read_bytes(), [], threading.Event()
    half = int(len(content) * 5.3 / SECONDS)
    reading, writing = os.pipe()

    def feed() -> None:
        with os.fdopen(writing, "wb", buffering=0) as pipe:
            pipe.write(content[:half])
            gate.wait(600)
            pipe.write(content[half:])

    def on_segment(second) -> None:
        told.append((second, gate.is_set()))
        if second.second.start == 2:
            time.sleep(0.5)
            gate.set()  # seconds 3 and 4 wait for two more

    thread = threading.Thread(target=feed)
    thread.start()
    result = localize_live(pipeline, "-", on_segment=on_segment, descriptor=reading)
    thread.join()
    os.close(reading)
    assert len(result.seconds) == SECONDS and result.status == "ok"
    assert [before for _, before in told] == [False] * 3 + [True] * 5
    assert told[3][0].delay > 0.5 and told[4][0].delay > 0.5


@pytest.mark.slow
def test_a_stream_that_falls_silent(pipeline, film):
    part = film.read_bytes()[: int(film.stat().st_size * 4.3 / SECONDS)]
    with piped(part, then_close=False) as descriptor:
        found = localize_live(pipeline, "-", on_segment=lambda _: None, descriptor=descriptor)
    assert found.status == "partial" and len(found.seconds) == 4
    assert "for 1.5 s, which counts as the end" in found.reason


def test_what_is_no_stream(pipeline):
    with piped(b"garbage" * 500) as descriptor:
        found = localize_live(pipeline, "-", on_segment=lambda _: None, descriptor=descriptor)
    assert found.status == "quarantined" and "no supported container" in found.reason


def test_stopped_before_anything_came(pipeline):
    began = time.monotonic()
    with piped(then_close=False) as descriptor:
        found = localize_live(
            pipeline,
            "-",
            on_segment=lambda _: None,
            should_stop=lambda: time.monotonic() > began + 0.3,
            descriptor=descriptor,
        )
    assert (found.status, found.reason) == ("quarantined", "interrupted before its first second")


# The command line


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["udp://127.0.0.1:1"], "none is opened unless --live is given"),
        (["http://example.com/a.mp4"], "none is opened unless --live is given"),
        (["rtsp://me:secret@camera/1"], "rtsp://camera/1 is an address"),
        (["http://example.com/a.ts", "--live"], "- for standard input, or a URL"),
        (["film.ts", "--live"], "Received: film.ts"),
        (["-", "film.ts"], "labelled alone"),
        (["udp://127.0.0.1:1", "udp://127.0.0.1:2", "--live"], "labelled alone"),
    ],
)
def test_what_is_refused(exported, tmp_path, capsys, words, sentence):
    out = tmp_path / "out"
    assert main(["infer", *words, "--model", str(exported), "--out", str(out)]) == 1
    errors = capsys.readouterr().err
    assert sentence in errors and "secret" not in errors and not out.exists()


def test_results_that_are_there_are_kept(exported, tmp_path, capsys):
    (tmp_path / "results.jsonl").write_text("a stream of yesterday\n")
    assert main(["infer", "-", "--model", str(exported), "--out", str(tmp_path)]) == 1
    assert "--fresh" in capsys.readouterr().err
    assert (tmp_path / "results.jsonl").read_text() == "a stream of yesterday\n"


def start(exported: Path, out: Path, *more: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "avel_tf.cli", "infer", "-", "--model", str(exported)]
        + ["--out", str(out), "--engine", "tensorflow", *more],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


@pytest.mark.slow
@pytest.mark.parametrize("number", [None, signal.SIGTERM])
def test_the_command_on_a_stream(exported, film, tmp_path, number):
    """Lines while it comes; to its end, or to a signal that keeps what has come."""
    content = film.read_bytes()
    part = int(len(content) * 5.3 / SECONDS)
    process = start(exported, tmp_path / "out")
    process.stdin.write(content[:part])
    process.stdin.flush()
    lines = [json.loads(process.stdout.readline()) for _ in range(3)]  # the pipe is still open
    assert [line["start"] for line in lines] == [0, 1, 2]
    if number is None:
        process.stdin.write(content[part:])
    else:
        process.send_signal(number)
        assert process.wait(600) == 130  # though the stream goes on
    output, errors = process.communicate(timeout=600)
    assert process.returncode == (130 if number else 0) and b"Traceback" not in errors
    lines += [json.loads(line) for line in output.splitlines()]
    seconds = 5 if number else SECONDS
    assert [line["start"] for line in lines] == list(range(seconds))
    (result,) = read_results(tmp_path / "out" / "results.jsonl")
    assert result.video == "-" and result.status == "ok" and len(result.seconds) == seconds
    assert [s.label for s in result.seconds] == [line["label"] for line in lines]
    assert (tmp_path / "out" / "results.csv").is_file() and b"Engine: tensorflow" in errors


@pytest.mark.slow
def test_the_command_on_garbage(exported, tmp_path, capsys, monkeypatch):
    words = ["infer", "-", "--model", str(exported), "--out", str(tmp_path / "out")]
    stdin = os.dup(0)
    with piped(b"garbage" * 500) as descriptor, open(descriptor, closefd=False) as stream:
        monkeypatch.setattr(sys, "stdin", stream)
        os.dup2(descriptor, 0)
        try:
            assert main([*words, "--engine", "tensorflow"]) == 2
        finally:
            os.dup2(stdin, 0)
            os.close(stdin)
    output, errors = capsys.readouterr()
    assert not output
    assert 'quarantined: Cannot read "-"' in errors and "no supported container" in errors
    (result,) = read_results(tmp_path / "out" / "results.jsonl")
    assert result.status == "quarantined"


@pytest.mark.slow
def test_the_command_with_a_reader_that_leaves(exported, film, tmp_path):
    process = start(exported, tmp_path / "head")
    content = film.read_bytes()
    part = int(len(content) * 4.3 / SECONDS)
    process.stdin.write(content[:part])
    process.stdin.flush()
    process.stdout.readline()
    process.stdout.close()
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(content[part:])
        process.stdin.flush()
    assert process.wait(600) == 130
    errors = process.stderr.read()
    assert b"Traceback" not in errors and b"BrokenPipe" not in errors
    (result,) = read_results(tmp_path / "head" / "results.jsonl")
    assert len(result.seconds) >= 3
    process.stderr.close()
