"""`avel`, with a localizer that needs no TensorFlow: `python -m tests.inference.fake_avel infer`.

What it does to a file is written in the file: `poison` kills the process, `cursed` raises an
error that no one expects, `broken` is quarantined, anything else is labelled after its bytes.
FAKE_SECONDS is how long a file takes.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
import time
import types
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from avel_tf.engines.available import EngineChoice
from avel_tf.engines.reuse import FrameCount
from avel_tf.events.event import Event
from avel_tf.events.result import Result, Segment
from avel_tf.export.exported_model import ExportedModel
from avel_tf.export.manifest import with_hashes
from avel_tf.utils import lazy_imports


def make_model(folder: Path) -> Path:
    """Files that are a model as far as hashes go."""
    (folder / "variables").mkdir(parents=True)
    (folder / "assets").mkdir()
    (folder / "saved_model.pb").write_bytes(b"graph")
    (folder / "variables" / "variables.index").write_bytes(b"weights")
    (folder / "assets" / "labels.txt").write_text("Bark\nHelicopter\n")
    (folder / "assets" / "config.yaml").write_text("data:\n")
    (folder / "assets" / "manifest.json").write_text(json.dumps(with_hashes({}, folder)))
    return folder


class FakePipeline:
    """Labels files after their bytes, in threads, in whatever order they end."""

    def __init__(self, model: ExportedModel, *, data: object, **_: object) -> None:
        self.model = model
        self.name = model.name
        self.selected = None
        self.screen = None
        self.crashed_engines: list[str] = []
        self.frame_count = FrameCount()
        self.workers = data.resolved_workers

    def choose_engine(self, paths: Sequence[str] = ()) -> EngineChoice:
        return EngineChoice("fake", "float32")

    def label_files(
        self,
        paths: Sequence[str],
        *,
        on_open: Callable[[str], None] = lambda path: None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> Iterator[tuple[int, Result]]:
        def one(path: str) -> Result | None:
            if should_stop():
                return None
            on_open(path)
            time.sleep(float(os.environ.get("FAKE_SECONDS", "0")))
            try:
                content = Path(path).read_bytes()
            except FileNotFoundError:
                return Result(path, "quarantined", "it does not exist", model=self.model.name)
            if content.startswith(b"poison"):
                os.kill(os.getpid(), signal.SIGKILL)
            if content.startswith(b"cursed"):
                raise RuntimeError("nobody expects this")
            if content.startswith(b"broken"):
                return Result(path, "quarantined", "it is broken", model=self.model.name)
            score = hashlib.sha256(content).digest()[0] / 255
            second = Segment(0.0, 1.0, "Bark", score)
            event = Event("Bark", 0.0, 1.0, score)
            return Result(path, "ok", None, 1.0, (second,), (event,), self.model.name)

        with ThreadPoolExecutor(self.workers) as pool:
            jobs = {pool.submit(one, path): index for index, path in enumerate(paths)}
            try:
                for job in as_completed(jobs):
                    result = job.result()
                    if result is not None:
                        yield jobs[job], result
            finally:
                for job in jobs:
                    job.cancel()


if __name__ == "__main__":
    module = types.ModuleType("avel_tf.inference.pipeline")
    module.InferencePipeline = FakePipeline  # type: ignore[attr-defined]
    sys.modules[module.__name__] = module
    lazy_imports.load_tensorflow = lambda: None
    from avel_tf.cli.main import main

    sys.exit(main())
