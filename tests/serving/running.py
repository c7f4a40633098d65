"""A server of `avel serve` within the process of the tests, on a real socket."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from avel_tf.config import Config
from avel_tf.serving.app import create_app
from avel_tf.serving.model_worker import ModelSpec
from avel_tf.serving.server import Server, ServerOptions
from tests.conftest import FLOAT32
from tests.processes import HANGS

FAKE = "tests.serving.fake_worker"


class Running:
    """A server that runs, and a client of it."""

    def __init__(self, server: Server, port: int) -> None:
        self.server = server
        self.url = f"http://127.0.0.1:{port}"
        self.client = httpx.Client(base_url=self.url, timeout=HANGS)
        self.loop: asyncio.AbstractEventLoop | None = None

    def wait(self, job: str) -> dict[str, Any]:
        """Waits for the end of a job by its events, of which the last is returned."""
        with self.client.stream("GET", f"/api/v1/jobs/{job}/events") as answer:
            assert answer.status_code == 200
            data = [line for line in answer.iter_lines() if line.startswith("data: ")]
        return httpx.Response(200, text=data[-1].removeprefix("data: ")).json()

    def upload(self, name: str, content: bytes) -> dict[str, str]:
        answer = self.client.post("/api/v1/videos", files={"file": (name, content)})
        assert answer.status_code == 202, answer.text
        return answer.json()

    def get(self, path: str, status: int = 200) -> Any:
        answer = self.client.get(path)
        assert answer.status_code == status, answer.text
        return answer.json()

    def call(self, coroutine: Any) -> Any:
        """Runs a coroutine in the loop of the server."""
        assert self.loop is not None
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(HANGS)


@contextlib.contextmanager
def running(options: ServerOptions, *, ready: bool = True) -> Iterator[Running]:
    """Runs a server until the block ends; waits for its model with `ready`."""
    server = Server(options)
    app = create_app(server)
    # With this protocol asyncio does not delay answers, as avel_tf/serving/run.py says.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listening:
        listening.bind(("127.0.0.1", 0))
        config = uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=2)
        engine = uvicorn.Server(config)
        thread = threading.Thread(target=engine.run, kwargs={"sockets": [listening]})
        thread.start()
        found = Running(server, listening.getsockname()[1])
        try:
            end = time.monotonic() + HANGS
            while not engine.started or (ready and not server.model.ready):
                assert thread.is_alive() and time.monotonic() < end
                time.sleep(0.01)
            found.loop = server.loop
            yield found
        finally:
            server.stop_streams()
            engine.should_exit = True
            thread.join(HANGS)
            found.client.close()


def fake_options(folder: Path, **values: Any) -> ServerOptions:
    """Options of a server with the fake model."""
    return ServerOptions(folder / "data", folder / "state", worker=FAKE, **values)


def real_options(model: Path, data: Path, state: Path) -> ServerOptions:
    """Options of a server with an exported model, whose numbers are those of TensorFlow."""
    spec = ModelSpec(str(model), config=replace(Config(), engine=FLOAT32))
    return ServerOptions(data, state, spec)


def videos_of(server: Running) -> list[dict[str, Any]]:
    """All videos of a server by name."""
    return sorted(server.get("/api/v1/videos")["videos"], key=lambda video: video["name"])


def label_all(server: Running) -> list[dict[str, Any]]:
    """Labels the files of the server's folder that are not labelled yet; returns all videos."""
    known = {video["name"] for video in videos_of(server)}
    jobs = [
        server.client.post("/api/v1/videos", json={"path": each["path"]}).json()["job"]
        for each in server.get("/api/v1/folder")["files"]
        if each["path"] not in known
    ]
    assert {server.wait(job)["state"] for job in jobs} <= {"done"}
    return videos_of(server)
