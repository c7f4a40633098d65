"""A run on a cluster with a model that needs no TensorFlow.

`python -m tests.cluster.fake_run VIDEOS OUT ADDRESS LOG SECONDS` labels files after their bytes:
`poison` ends the process of the worker, `broken` is quarantined. Each file that is opened adds a
line to LOG. The driver prints its summary as JSON.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from avel_tf.cluster.infer import ClusterRun
from avel_tf.cluster.inputs import find_cluster_inputs
from avel_tf.config import Config, load_config
from avel_tf.events.event import Event
from avel_tf.events.result import Result, Segment

MODEL = "fake/1"


class FakePipeline:
    """Labels files in threads, in whatever order they end."""

    def __init__(self, folder: Path, config: Config, classes: object) -> None:
        self.log = (folder / "log").read_text()
        self.seconds = float((folder / "seconds").read_text())
        self.workers = config.data.resolved_workers

    def label_files(
        self,
        paths: Sequence[str],
        *,
        on_open: Callable[[str], None],
        should_stop: Callable[[], bool],
    ) -> Iterator[tuple[int, Result]]:
        """Yields the index and the result of each file."""

        def one(path: str) -> Result | None:
            if should_stop():
                return None
            on_open(path)
            with open(self.log, "a", encoding="utf-8") as log:
                log.write(f"{os.path.basename(path)}\n")
            time.sleep(self.seconds)
            if not os.path.exists(path):
                return Result(path, "quarantined", "it is not there", model=MODEL)
            content = Path(path).read_bytes()
            if content.startswith(b"poison"):
                os.kill(os.getpid(), signal.SIGKILL)
            if content.startswith(b"cursed"):
                raise RuntimeError("nobody expects this")
            if content.startswith(b"broken"):
                return Result(path, "quarantined", "it is broken", model=MODEL)
            score = hashlib.sha256(content).digest()[0] / 255
            second = Segment(0.0, 1.0, "Bark", score)
            event = Event("Bark", 0.0, 1.0, score)
            return Result(path, "ok", None, 1.0, (second,), (event,), MODEL)

        with ThreadPoolExecutor(self.workers) as pool:
            jobs = {pool.submit(one, path): index for index, path in enumerate(paths)}
            for job in as_completed(jobs):
                if (result := job.result()) is not None:
                    yield jobs[job], result


def fake_run(log: Path, seconds: float, settings: Sequence[str] = ()) -> ClusterRun:
    """A run of the fake model."""
    return ClusterRun(
        model_name=MODEL,
        files=lambda: {"log": str(log).encode(), "seconds": str(seconds).encode()},
        setup={"model": MODEL},
        config=load_config(None, settings),
        open_model=FakePipeline,
    )


if __name__ == "__main__":
    videos, out, address, log, seconds, *settings = sys.argv[1:]
    from tests.cluster import fake_run as module  # by its name, which workers import

    summary = module.fake_run(Path(log), float(seconds), settings)(
        find_cluster_inputs([videos]), out, address=address
    )
    print(
        json.dumps(
            {
                "counts": summary.counts,
                "repetitions": summary.repetitions,
                "complete": summary.complete,
                "resumed": summary.resumed,
                "opened_again": summary.opened_again,
            }
        )
    )
