"""Functions on media files in a worker process."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from avel_tf.video.decode_settings import DecodeSettings
from avel_tf.video.errors import MediaError
from avel_tf.video.media_job import run_media_job

ROOT = str(Path(__file__).resolve().parents[2])
SETTINGS = DecodeSettings(max_memory_mb=256, max_stall_seconds=1.0)


def echo(path: str, settings: DecodeSettings, arguments: dict[str, Any]) -> Iterator[Any]:
    yield [os.getpid(), path, settings.max_memory_mb]
    yield len(arguments["text"])


def write(path: str, settings: DecodeSettings, arguments: dict[str, Any]) -> Iterator[Any]:
    Path(arguments["out"]).write_bytes(bytes(3 << 20))
    yield None


def crash(path: str, settings: DecodeSettings, arguments: dict[str, Any]) -> Iterator[Any]:
    yield 1
    os.kill(os.getpid(), signal.SIGSEGV)


def hang(path: str, settings: DecodeSettings, arguments: dict[str, Any]) -> Iterator[Any]:
    yield 1
    time.sleep(60)


def swell(path: str, settings: DecodeSettings, arguments: dict[str, Any]) -> Iterator[Any]:
    yield np.ones(1 << 29).size


def refuse(path: str, settings: DecodeSettings, arguments: dict[str, Any]) -> Iterator[Any]:
    yield 1
    raise MediaError(path, "it is odd")


def stumble(path: str, settings: DecodeSettings, arguments: dict[str, Any]) -> Iterator[Any]:
    yield 1
    raise KeyError("a surprise")


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets a worker import this module."""
    monkeypatch.setenv("PYTHONPATH", ROOT)


def test_a_worker_receives_arguments_of_any_size(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments = {"text": "犬\n" * 200_000}
    (pid, path, memory), length = run_media_job(echo, "a.mp4", SETTINGS, arguments)
    assert pid != os.getpid() and path == str(tmp_path / "a.mp4") and memory == 256
    assert length == len(arguments["text"])
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_worker_writes_files_and_keeps_the_limit(tmp_path):
    out = {"out": str(tmp_path / "out")}
    assert list(run_media_job(write, "a.mp4", SETTINGS, out)) == [None]
    assert (tmp_path / "out").stat().st_size == 3 << 20
    small = DecodeSettings(max_file_bytes=1 << 20)
    with pytest.raises(MediaError):
        list(run_media_job(write, "a.mp4", small, out))


@pytest.mark.parametrize(
    ("function", "cause"),
    [
        (crash, "SIGSEGV"),
        (hang, "hung"),
        (swell, "max_memory_mb"),
        (refuse, "it is odd"),
        (stumble, "KeyError: 'a surprise'"),
    ],
)
def test_a_file_that_harms_its_worker_fails_alone(function, cause):
    with pytest.raises(MediaError, match=cause):
        list(run_media_job(function, "a.mp4", SETTINGS, {}))


def test_without_isolation_this_process_runs_it():
    in_process = DecodeSettings(isolated=False)
    (pid, *_), _ = run_media_job(echo, "a.mp4", in_process, {"text": ""})
    assert pid == os.getpid()
