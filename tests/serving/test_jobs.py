"""Jobs: progress, cancellation, crashes of the model process, restarts of the server."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest.mock import AsyncMock

import httpx
import numpy as np
import pytest

from avel_tf.serving.model_connection import ModelConnection, ModelDied, ModelUnavailable
from avel_tf.serving.model_process import ModelProcess
from avel_tf.serving.model_worker import ModelSpec
from tests.processes import wait_until
from tests.serving.running import Running, fake_options, running


def test_an_upload_is_labelled(fake: Running) -> None:
    accepted = fake.upload("dog.mp4", b"fine")
    job = fake.wait(accepted["job"])
    assert (job["state"], job["done"], job["total"], job["attempts"]) == ("done", 3, 3, 1)
    video = fake.get(f"/api/v1/videos/{accepted['video']}")
    assert (video["status"], video["seconds"], video["events"]) == ("ok", 3, 1)
    assert (video["name"], video["model"], video["corrected"]) == ("dog.mp4", "fake/1", False)
    assert fake.client.get(f"/api/v1/videos/{video['id']}/media").content == b"fine"


def test_a_broken_file_is_quarantined_by_its_own_name(fake: Running) -> None:
    accepted = fake.upload("cat.mp4", b"broken")
    assert fake.wait(accepted["job"])["state"] == "done"
    video = fake.get(f"/api/v1/videos/{accepted['video']}")
    assert (video["status"], video["reason"]) == ("quarantined", "cat.mp4 is broken.")
    fake.get(f"/api/v1/videos/{accepted['video']}/scores", 404)


def test_a_running_and_a_waiting_job_are_cancelled(fake: Running) -> None:
    first, second = fake.upload("a.mp4", b"slow"), fake.upload("b.mp4", b"slow")
    wait_until(lambda: fake.get(f"/api/v1/jobs/{first['job']}")["done"] > 1)
    for each in (second, first):
        assert fake.client.delete(f"/api/v1/jobs/{each['job']}").status_code == 202
        assert fake.wait(each["job"])["state"] == "cancelled"
        assert fake.get(f"/api/v1/videos/{each['video']}")["status"] == "cancelled"
    assert fake.wait(fake.upload("c.mp4", b"fine")["job"])["state"] == "done"


def test_a_video_is_removed_while_it_is_labelled(fake: Running) -> None:
    accepted = fake.upload("a.mp4", b"slow")
    wait_until(lambda: fake.get(f"/api/v1/jobs/{accepted['job']}")["done"] > 1)
    assert fake.client.delete(f"/api/v1/videos/{accepted['video']}").status_code == 204
    fake.get(f"/api/v1/videos/{accepted['video']}", 404)
    folder = fake.server.folder
    left = [*(folder / "uploads").iterdir(), *(folder / "analysis").iterdir()]
    assert not [path for path in left if accepted["video"] in path.name]
    assert fake.get(f"/api/v1/jobs/{accepted['job']}")["state"] == "cancelled"


def test_a_crash_of_the_model_costs_one_retry(fake: Running) -> None:
    restarts = fake.server.model.restarts
    job = fake.wait(fake.upload("once.mp4", b"once")["job"])
    assert (job["state"], job["attempts"]) == ("done", 2)
    assert fake.server.model.restarts == restarts + 1


@pytest.mark.slow
def test_a_file_that_kills_the_model_takes_nothing_along(fake: Running) -> None:
    restarts = fake.server.model.restarts
    with ThreadPoolExecutor(8) as threads:
        poison = fake.upload("poison.mp4", b"poison")

        def label(number: int) -> httpx.Response:
            return fake.client.post("/v1/video/events", files={"file": ("a.mp4", b"fine")})

        def predict(number: int) -> np.ndarray:
            frames = np.full((1, 2, 1, 4, 4, 3), number, np.uint8)
            waveform = np.zeros((1, 32_000), np.float32)
            return fake.call(fake.server.model.predict(frames, waveform))

        answers = list(threads.map(label, range(8)))
        predictions = list(threads.map(predict, range(1, 9)))
    job = fake.wait(poison["job"])
    assert (job["state"], job["attempts"]) == ("failed", 2)
    assert "died twice" in job["error"]
    assert [answer.status_code for answer in answers] == [200] * 8
    assert all(np.allclose(each, 1 / 3) for each in predictions)
    assert fake.server.model.restarts == restarts + 2


def test_a_prediction_beside_a_poisonous_file_is_not_blamed() -> None:
    """The retry of the prediction joins that of the file, which kills the process again."""

    class Dying:
        """A process that dies in any company of the file."""

        def __init__(self) -> None:
            self.deaths = {"label_file": 0, "predict": 0}
            self.file_is_tried_again = asyncio.Event()

        async def call(self, method: str, *_: object) -> list[np.ndarray]:
            if method == "predict":
                if self.deaths["predict"]:
                    await self.file_is_tried_again.wait()
            elif self.deaths["label_file"]:
                self.file_is_tried_again.set()
                await asyncio.sleep(0.05)
            if method == "label_file" or self.deaths["predict"] < 2:
                self.deaths[method] += 1
                raise ModelDied
            return [np.zeros(1)]

    async def both() -> None:
        model, child = ModelProcess(ModelSpec()), Dying()
        model._ready_child = AsyncMock(return_value=child)
        file = asyncio.create_task(model.label_file(Path("poison.mp4")))
        await asyncio.sleep(0.01)  # the file is tried again before the prediction is
        prediction = await model.predict(np.zeros(1), np.zeros(1))
        assert prediction.tolist() == [0.0]
        with pytest.raises(ModelUnavailable, match="died twice"):
            await file
        assert child.deaths == {"label_file": 2, "predict": 2}

    asyncio.run(both())


@pytest.mark.slow
def test_kill_9_of_the_model_process(fake: Running) -> None:
    accepted = fake.upload("slow.mp4", b"slow")
    wait_until(lambda: fake.get(f"/api/v1/jobs/{accepted['job']}")["done"] > 1)
    os.kill(fake.server.model.pid, signal.SIGKILL)
    wait_until(lambda: fake.get(f"/api/v1/jobs/{accepted['job']}")["attempts"] == 2)
    wait_until(lambda: fake.get(f"/api/v1/jobs/{accepted['job']}")["done"] > 1)
    fake.client.delete(f"/api/v1/jobs/{accepted['job']}")
    assert fake.wait(accepted["job"])["state"] == "cancelled"


def test_a_death_counts_once_for_a_request(fake: Running, monkeypatch) -> None:
    """Both attempts may reach the process before its death is known to the server."""
    stop = ModelConnection._stop

    def stop_later(connection: ModelConnection) -> None:
        known.wait(60)
        stop(connection)

    known = threading.Event()
    monkeypatch.setattr(ModelConnection, "_stop", stop_later)
    restarts, pid = fake.server.model.restarts, fake.server.model.pid
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: "Z" in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2])
    frames = np.ones((1, 1, 4, 4, 3), np.uint8)
    with ThreadPoolExecutor(1) as thread:
        answer = thread.submit(
            fake.call, fake.server.model.embed(frames, np.zeros((1, 16_000), np.float32))
        )
        time.sleep(0.2)  # enough for two attempts; fewer prove nothing, but fail nothing
        known.set()
        assert answer.result()[0].tolist() == [[1.0, 1.0, 1.0]]
    assert fake.server.model.restarts == restarts + 1


def test_a_prediction_that_kills_the_model_fails_alone(fake: Running) -> None:
    frames = np.full((1, 1, 4, 4, 3), 66, np.uint8)
    with pytest.raises(ModelUnavailable, match="died twice"):
        fake.call(fake.server.model.embed(frames, np.zeros((1, 16_000), np.float32)))
    fine = fake.call(fake.server.model.embed(frames + 1, np.zeros((1, 16_000), np.float32)))
    assert fine[0].tolist() == [[67.0, 67.0, 67.0]]


def test_a_full_queue_is_refused(folder: Path) -> None:
    from dataclasses import replace

    from avel_tf.config import Config
    from avel_tf.serving.model_worker import ModelSpec
    from avel_tf.serving.settings import ServingSettings

    config = replace(Config(), serving=ServingSettings(queue=1))
    with running(fake_options(folder, spec=ModelSpec(config=config))) as server:
        jobs = [server.upload("a.mp4", b"slow")]
        wait_until(lambda: server.get(f"/api/v1/jobs/{jobs[0]['job']}")["state"] == "running")
        jobs.append(server.upload("b.mp4", b"slow"))
        answer = server.client.post("/api/v1/videos", files={"file": ("c.mp4", b"slow")})
        assert answer.status_code == 503 and int(answer.headers["Retry-After"]) > 0
        assert answer.json()["error"]["type"] == "unavailable"
        assert len(server.get("/api/v1/videos")["videos"]) == 2
        assert len(list((folder / "state" / "uploads").iterdir())) == 2


def test_a_model_that_cannot_be_loaded_is_named(folder: Path) -> None:
    from avel_tf.serving.model_worker import ModelSpec

    with running(fake_options(folder, spec=ModelSpec("missing")), ready=False) as server:
        wait_until(lambda: server.get("/api/v1/info")["problem"])
        assert "no model 'missing'" in server.get("/v2/health/ready", 503)["error"]["message"]
        job = server.wait(server.upload("a.mp4", b"fine")["job"])
        assert job["state"] == "failed" and "no model 'missing'" in job["error"]
        server.call(server.server.model.change(ModelSpec()))
        assert server.wait(server.upload("a.mp4", b"fine")["job"])["state"] == "done"


@pytest.mark.slow
def test_another_model_takes_over(folder: Path) -> None:
    from avel_tf.serving.model_worker import ModelSpec

    with running(fake_options(folder)) as server:
        model, before = server.server.model, server.server.model.pid
        with pytest.raises(ModelUnavailable, match="no model 'missing'"):
            server.call(model.change(ModelSpec("missing")))
        assert model.pid == before
        server.call(model.change(ModelSpec("other")))
        assert model.pid != before and model.spec.model == "other"
        os.kill(model.pid, signal.SIGKILL)
        assert server.wait(server.upload("a.mp4", b"fine")["job"])["state"] == "done"


_SERVE = """
import sys
from pathlib import Path
from avel_tf.serving.run import serve
from tests.serving.running import fake_options
serve(fake_options(Path(sys.argv[1])), int(sys.argv[2]))
"""


def _start(folder: Path, port: int) -> subprocess.Popen:
    process = subprocess.Popen([sys.executable, "-c", _SERVE, str(folder), str(port)])
    client = httpx.Client(base_url=f"http://127.0.0.1:{port}")

    def answers() -> bool:
        try:
            return client.get("/v2/health/ready").status_code == 200
        except httpx.TransportError:
            return False

    wait_until(answers, process)
    return process


def _free_port() -> int:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listening:
        return listening.getsockname()[1]


@pytest.mark.slow
def test_jobs_and_corrections_survive_kill_9_of_the_server(folder: Path) -> None:
    port = _free_port()
    process = _start(folder, port)
    url = f"http://127.0.0.1:{port}"
    uploads = folder / "state" / "uploads"
    jobs = []
    try:
        with httpx.Client(base_url=url, timeout=60) as client:
            for content in (b"fine", b"brief", b"fine", b"broken"):
                answer = client.post("/api/v1/videos", files={"file": ("a.mp4", content)})
                jobs.append(answer.json())
            wait_until(lambda: client.get(f"/api/v1/jobs/{jobs[1]['job']}").json()["done"] > 1)
            path = f"/api/v1/videos/{jobs[0]['video']}/annotations"
            event = {"label": "Meow", "start": 0, "end": 1}
            assert client.post(path, json=event).status_code == 201
            # An upload that will never end.
            half = b"--x\r\nContent-Disposition: form-data; name=file; filename=h.mp4\r\n\r\nhalf"

            def body():
                yield half
                wait_until(lambda: list(uploads.glob(".writing-*")))
                os.kill(process.pid, signal.SIGKILL)
                process.wait()
                yield b"more"

            headers = {"content-type": "multipart/form-data; boundary=x"}
            with pytest.raises(httpx.TransportError):
                client.post("/api/v1/videos", content=body(), headers=headers)
        assert list(uploads.glob(".writing-*"))
        process = _start(folder, port)
        with httpx.Client(base_url=url, timeout=60) as client:
            assert len(list(uploads.iterdir())) == 4
            for each, status in zip(jobs, ("ok", "ok", "ok", "quarantined"), strict=True):
                job = f"/api/v1/jobs/{each['job']}"
                wait_until(lambda: client.get(job).json()["state"] == "done")  # noqa: B023
                video = client.get(f"/api/v1/videos/{each['video']}").json()
                assert video["status"] == status
            rows = client.get(path).json()["annotations"]
            assert [row["label"] for row in rows] == ["Meow", "Bark"]
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()
    assert not list(uploads.glob(".writing-*"))


def test_a_second_server_is_refused_the_state(fake: Running) -> None:
    from avel_tf.serving.server import Server

    with pytest.raises(BlockingIOError, match=f"process {os.getpid()}.*--state"):
        Server(fake.server.options)


def test_the_server_process_loads_no_network() -> None:
    code = "import sys, avel_tf.serving.run; print(*sorted(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"tensorflow", "openvino", "keras"} & set(run.stdout.split())
