"""The page in Debian's Chromium, served by the real server."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from tests.conftest import COMPACT_SETTINGS, as_set
from tests.processes import wait_until

sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")

CHROMIUM = Path("/usr/bin/chromium")
# Without the background services of a desktop browser, which ask other hosts.
ARGUMENTS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
AXE = Path(__file__).resolve().parents[2] / "web" / "node_modules" / "axe-core" / "axe.min.js"
DESKTOP = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}


@dataclass
class Served:
    """A running server."""

    url: str
    folder: Path
    process: subprocess.Popen
    restart: Callable[[], None]

    def get(self, path: str) -> Any:
        answer = httpx.get(f"{self.url}/api/v1{path}", timeout=60)
        answer.raise_for_status()
        return answer.json()

    def post(self, path: str, body: dict[str, object]) -> Any:
        answer = httpx.post(f"{self.url}/api/v1{path}", json=body, timeout=60)
        answer.raise_for_status()
        return answer.json()

    def delete(self, path: str) -> None:
        httpx.delete(f"{self.url}/api/v1{path}", timeout=60).raise_for_status()

    def annotations(self, video: str) -> list[dict[str, Any]]:
        return self.get(f"/videos/{video}/annotations")["annotations"]

    def label(self, path: str) -> str:
        """Label a file of the server's folder; returns the identifier of the video."""
        accepted = self.post("/videos", {"path": path})
        wait_until(lambda: self.get(f"/jobs/{accepted['job']}")["finished"], self.process)
        assert self.get(f"/jobs/{accepted['job']}")["state"] == "done"
        return accepted["video"]


# `avel` with the model process of tests/serving/fake_worker.py.
WITH_FAKE_MODEL = """
import functools, sys
import avel_tf.serving.server as server
from avel_tf.cli.main import main
server.ServerOptions = functools.partial(server.ServerOptions, worker="tests.serving.fake_worker")
sys.exit(main())
"""


@contextlib.contextmanager
def serve(model: Path | None, folder: Path, **environment: str) -> Iterator[Served]:
    """Start `avel serve` on a free port, and stop it at the end; without a model, a fake one."""

    def start(port: str) -> subprocess.Popen:
        if model is None:
            command = ["-c", WITH_FAKE_MODEL, "serve"]
        else:
            command = ["-m", "avel_tf.cli", "serve", "--model", str(model)]
        words = ["--data", str(folder), "--port", port, "--engine", "tensorflow"]
        process = subprocess.Popen(
            [sys.executable, *command, *words],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **environment},
        )
        assert process.stdout is not None
        served.url = process.stdout.readline().split()[1].rstrip("/")
        served.process = process
        return process

    def restart() -> None:
        port = served.url.rpartition(":")[2]
        served.process.kill()
        served.process.wait()
        start(port)

    served = Served("", folder, None, restart)  # type: ignore[arg-type]
    start("0")
    try:
        yield served
    finally:
        served.process.send_signal(signal.SIGTERM)
        served.process.wait()


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """A headless browser."""
    if not CHROMIUM.exists():
        pytest.skip(f"the browser is absent: apt-get install chromium makes {CHROMIUM}")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium: Any) -> Iterator[Callable[..., Any]]:
    """Opens pages, and checks of each that it broke no policy and asked no other host."""
    pages: list[Any] = []
    problems: list[str] = []

    def open_page(
        url: str,
        *,
        viewport: dict[str, int] = DESKTOP,
        prepare: Callable[[Any], None] = lambda page: None,
        **context: Any,
    ) -> Any:
        page = chromium.new_context(viewport=viewport, locale="en-GB", **context).new_page()
        origin = "/".join(url.split("/")[:3])

        def on_request(request: Any) -> None:
            if not request.url.startswith((origin, "data:", "blob:")):
                problems.append(f"request to {request.url}")

        def on_console(message: Any) -> None:
            if "Content Security Policy" in message.text:
                problems.append(message.text)

        page.on("request", on_request)
        page.on("console", on_console)
        page.on("pageerror", lambda error: problems.append(f"error in the page: {error}"))
        page.set_default_timeout(60_000)  # against hanging
        pages.append(page)
        prepare(page)
        page.goto(url)
        return page

    yield open_page
    for page in pages:
        page.context.close()
    assert not problems


@pytest.fixture(scope="session")
def server(exported: Path, clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator:
    """A server with two short clips in its folder."""
    folder = tmp_path_factory.mktemp("served")
    for name in ("00000", "00001"):
        (folder / f"{name}.mp4").write_bytes((clips / "videos/train" / f"{name}.mp4").read_bytes())
    with serve(exported, folder) as served:
        yield served


@pytest.fixture(scope="session")
def labelled(server: Served) -> str:
    """Identifier of the first clip, four seconds, labelled."""
    return server.label("00000.mp4")


@pytest.fixture
def video(server: Served, labelled: str) -> Iterator[str]:
    """The labelled clip with two added events; what a test added is removed again."""
    for label, start, end in (("My bark", 0.5, 1.5), ("My bell", 2.0, 3.0)):
        server.post(f"/videos/{labelled}/annotations", {"label": label, "start": start, "end": end})
    yield labelled
    for each in server.annotations(labelled):
        if each["predicted"] is None:
            server.delete(f"/videos/{labelled}/annotations/{each['id']}")


@pytest.fixture
def watch(server: Served, video: str, open_page: Callable[..., Any]) -> Any:
    """The page of the labelled clip."""
    page = open_page(f"{server.url}/#/videos/{video}")
    page.get_by_role("option").first.wait_for()
    return page


def event_of(server: Served, video: str, label: str) -> dict[str, Any] | None:
    """The annotation with a label, as the server has it."""
    found = [each for each in server.annotations(video) if each["label"] == label]
    return found[0] if found else None


def timeline_box(page: Any) -> dict[str, float]:
    """Place of the timeline on the screen."""
    canvas = page.get_by_role("slider", name="Timeline")
    canvas.scroll_into_view_if_needed()
    return canvas.bounding_box()


def wait_for(page: Any, condition: str) -> None:
    """Waits for a condition in JavaScript; the page's policy forbids Playwright's own waiting."""
    wait_until(lambda: page.evaluate(condition))


KNOWN = ("Bark", "Church bell", "Helicopter")
NEW = "Clock"


@pytest.fixture(scope="session")
def trained(made_once: Callable[..., Path]) -> Path:
    """A model that knows the classes `KNOWN` well."""
    from avel_tf.cli.main import main
    from avel_tf.synthesis.dataset import SynthesisSettings, make_dataset

    settings = SynthesisSettings(
        seconds=8, width=192, height=108, frame_rate=2.0, classes=KNOWN, object_height=(0.35, 0.6)
    )
    words = as_set((*COMPACT_SETTINGS, "training.epochs=20", "training.batch_size=8"))

    def fill(folder: Path) -> None:
        clips, run = folder / "clips", folder / "run"
        make_dataset(clips, train=45, validation=8, test=2, settings=settings, workers=1)
        assert main(["train", str(clips), "--out", str(run), *words]) == 0
        assert main(["export", str(run), "--out", str(folder / "demo")]) == 0

    return made_once("browser-model", fill) / "demo" / "1"


def write_clips(path: Path, labels: Sequence[str]) -> list[tuple[float, float]]:
    """Writes clips with one event each, one after the other, into one file.

    Returns:
        Start and end of each event.
    """
    from avel_tf.synthesis.dataset import SynthesisSettings, make_clip, make_plan
    from avel_tf.synthesis.writer import write_video

    seconds = 8
    settings = SynthesisSettings(
        seconds=seconds,
        width=320,
        height=180,
        frame_rate=8.0,
        classes=(*KNOWN, NEW),
        object_height=(0.35, 0.6),
    )
    seed = zlib.crc32(path.name.encode())
    frames: list[Iterable] = []
    waveforms, spans = [], []
    index = 0
    for label in labels:
        while [each.label for each in make_plan(index, settings, seed=seed).events] != [label]:
            index += 1
        pictures, waveform, events = make_clip(index, settings, seed=seed)
        start = len(frames) * seconds
        spans += [(start + event.start, start + event.end) for event in events]
        frames.append(pictures)
        waveforms.append(waveform)
        index += 1
    write_video(path, itertools.chain(*frames), np.concatenate(waveforms), frame_rate=8.0)
    return spans
