"""`avel infer --ray`: overhead against one machine, and cost of many inputs.

    python benchmarks/cluster.py overhead MODEL [--clips 64] [--rounds 3] [--workers 1 2]
    python benchmarks/cluster.py inputs [--inputs 10000 1000000] [--seconds 60]
    python benchmarks/cluster.py frames

`overhead` labels the same clips without and with `--ray local`, in turn. It prints clips per second
and processor time per clip of all processes, both from the first result to the last, and the wall
clock of the whole run. Other work on the machine changes the rate, and the processor time much
less. It fails if a run has not exactly one result for each clip, or if the median rate of one
worker is below 90 % of that of one machine.

`inputs` replaces decoding and networks by a function that returns ten labelled seconds, and prints
what the rest costs: start, memory of the driver and of the journal, inputs per second. Runs longer
than `--seconds` are interrupted as by Ctrl-C and resumed, and fail unless each input that was
reported has exactly one result.

`frames` hands clips of ten seconds from tasks to an actor, as a decoding stage of its own would,
and prints what that costs beside calls without data.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

import numpy as np
from clips import make_clips
from measuring import MEGABYTE, processor_seconds

from avel_tf.cluster.infer import ClusterRun, localize_on_cluster
from avel_tf.cluster.inputs import Inputs
from avel_tf.cluster.ray_session import ray_session
from avel_tf.config import load_config
from avel_tf.events.event import Event
from avel_tf.events.result import Result, Segment
from avel_tf.events.result_shards import read_all_results
from avel_tf.inference.batch import localize_to_folder

LEAST_RATIO = 0.9
ENGINE = ("engine.name=tensorflow", "engine.precision=float32")


class Rate:
    """Progress callback that measures from the first result to the last.

    Args:
        processors: Measure processor time as well, which costs a millisecond for each mark.
    """

    def __init__(self, *, processors: bool = False) -> None:
        self.marks: list[tuple[float, int, float]] = []
        self.processors = processors

    def __call__(self, done: int, total: int) -> None:
        if not self.marks or done > self.marks[-1][1]:
            # Processes of Ray are descendants of this one until the run ends.
            worked = processor_seconds() if self.processors else 0.0
            self.marks.append((time.perf_counter(), done, worked))

    @property
    def per_second(self) -> float:
        """Results per second between the first mark and the last."""
        if not self.marks:
            return 0.0
        (begin, first, _), (end, last, _) = self.marks[0], self.marks[-1]
        return (last - first) / (end - begin) if end > begin else float("nan")

    @property
    def processor_seconds_each(self) -> float:
        """Processor seconds for a result between the first mark and the last."""
        (_, first, begin), (_, last, end) = self.marks[0], self.marks[-1]
        return (end - begin) / (last - first) if last > first else float("nan")


class StandIn:
    """Pipeline that opens no file."""

    def __init__(self, *_: object) -> None:
        self.seconds = tuple(Segment(s, s + 1, "Church bell", 0.876543) for s in range(10))
        self.events = (Event("Church bell", 2.0, 7.0, 0.876543),)

    def label_files(
        self,
        paths: Sequence[str],
        *,
        on_open: Callable[[str], None],
        should_stop: Callable[[], bool],
    ) -> Iterator[tuple[int, Result]]:
        """Yields the same labels for each file."""
        for index, path in enumerate(paths):
            if should_stop():
                return
            on_open(path)
            yield index, Result(path, "ok", None, 10.0, self.seconds, self.events, "stand-in/1")


def main() -> int:
    """Prints a table; returns 1 if a gate fails."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    overhead = commands.add_parser("overhead")
    overhead.add_argument("model", type=Path)
    overhead.add_argument("--clips", type=int, default=64)
    overhead.add_argument("--rounds", type=int, default=3)
    overhead.add_argument("--workers", type=int, nargs="+", default=[1])
    inputs = commands.add_parser("inputs")
    inputs.add_argument("--inputs", type=int, nargs="+", default=[10_000, 1_000_000])
    inputs.add_argument("--seconds", type=float, default=60.0)
    commands.add_parser("frames")
    parser.add_argument("--folder", type=Path, help="where to write; a folder in /tmp by default")
    options = parser.parse_args()
    if options.command == "frames":
        return measure_frames()
    with tempfile.TemporaryDirectory(dir=options.folder) as scratch:
        if options.command == "overhead":
            return measure_overhead(options, Path(scratch))
        return max(
            measure_inputs(count, options.seconds, Path(scratch)) for count in options.inputs
        )


def measure_overhead(options: argparse.Namespace, scratch: Path) -> int:
    """One row for each run; see the description above."""
    paths = make_clips(scratch, 360, options.clips)
    processors = len(os.sched_getaffinity(0))
    rates: dict[str, list[Rate]] = {}
    print("| run | clips/s | processor s per clip | wall clock |\n|---|---|---|---|")
    for number in range(options.rounds):
        for workers in (0, *options.workers):
            name = f"--ray local, {workers} workers" if workers else "one machine"
            out, rate = scratch / f"out-{number}-{workers}", Rate(processors=True)
            cpus = f"cluster.cpus_per_worker={max(1, processors // max(1, workers))}"
            config = load_config(None, [*ENGINE, cpus])
            began = time.perf_counter()
            common: dict[str, Any] = {"config": config, "progress": rate}
            if workers:
                localize_on_cluster(paths, out, options.model, address="local", **common)
            else:
                localize_to_folder(paths, out, options.model, formats=["jsonl"], **common)
            wall = time.perf_counter() - began
            rates.setdefault(name, []).append(rate)
            each = rate.processor_seconds_each
            print(f"| {name} | {rate.per_second:.2f} | {each:.3f} | {wall:.1f} s |", flush=True)
            if sorted(each.video for each in read_all_results(out)) != sorted(paths):
                print("FAILED: not exactly one result for each clip")
                return 1
    median = {
        name: statistics.median(each.per_second for each in found) for name, found in rates.items()
    }
    work = {
        name: statistics.median(each.processor_seconds_each for each in found)
        for name, found in rates.items()
    }
    for name, value in median.items():
        print(
            f"median of {name}: {value:.2f} clips/s, {value / median['one machine']:.0%}; "
            f"{work[name]:.3f} s of processor per clip, {work[name] / work['one machine']:.0%}"
        )
    one = median.get("--ray local, 1 workers", median["one machine"])
    return 0 if one >= LEAST_RATIO * median["one machine"] else 1


def measure_inputs(count: int, seconds: float, scratch: Path) -> int:
    """Figures of a run over many names of files that do not exist."""
    out, rate = scratch / f"out-{count}", Rate()
    names = [f"/videos/{n // 1000:06d}/{n:09d}.mp4" for n in range(count)]
    run = ClusterRun(
        model_name="stand-in/1",
        files=dict,
        setup={"model": "stand-in/1"},
        config=load_config(None, ["cluster.cpus_per_worker=1"]),
        open_model=StandIn,
    )
    print(f"\n{count:,} inputs: names {resident():.0f} MB")
    for attempt in ("first run", "resumed"):
        rate.marks.clear()
        began = time.perf_counter()
        timer = threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGTERM))
        timer.start()
        summary = run(Inputs(names, {}), out, address="local", progress=rate)
        timer.cancel()
        wall = time.perf_counter() - began
        start = rate.marks[0][0] - began if rate.marks else float("nan")
        print(
            f"{attempt}: first result after {start:.1f} s, {rate.per_second:.0f} inputs/s, driver "
            f"{resident():.0f} MB, {summary.done:,} done after {wall:.0f} s, "
            f"{'complete' if summary.complete else 'interrupted'}",
            flush=True,
        )
        found = [each.video for each in read_all_results(out)]
        if len(found) != summary.done or len(set(found)) != len(found):
            print(
                f"FAILED: {len(found)} results, {len(set(found))} inputs, {summary.done} reported"
            )
            return 1
        if summary.complete:
            break
    size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    print(f"results: {size / summary.done:.0f} bytes for each input")
    return 0


def measure_frames(clips: int = 200, in_flight: int = 8) -> int:
    """Cost of frames in the object store, without decoding."""
    with ray_session("local") as ray:

        @ray.remote
        def decode(number: int) -> tuple[np.ndarray, np.ndarray]:
            frames = np.full((10, 2, 260, 260, 3), number % 256, np.uint8)  # [T, F, H, W, 3]
            return frames, np.zeros((10, 16_000), np.float32)

        @ray.remote
        class Embed:
            def embed(self, clip: tuple[np.ndarray, np.ndarray] | None) -> int:
                return 0 if clip is None else int(clip[0].max()) + int(clip[1].max())

        actor = Embed.remote()
        ray.get(actor.embed.remote(decode.remote(0)))
        for name in ("calls alone", "frames") * 3:
            began, worked = time.perf_counter(), processor_seconds()
            waiting: list[Any] = []
            for number in range(clips):
                waiting.append(
                    actor.embed.remote(None if name[0] == "c" else decode.remote(number))
                )
                if len(waiting) > in_flight:
                    ray.get(waiting.pop(0))
            ray.get(waiting)
            wall, work = time.perf_counter() - began, processor_seconds() - worked
            print(f"{name}: {wall / clips * 1e3:.1f} ms, processor {work / clips * 1e3:.1f} ms")
    return 0


def resident() -> float:
    """Memory of this process, in units of 2^20 bytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / MEGABYTE


if __name__ == "__main__":
    from cluster import main as named  # workers import its classes by the name of the module

    sys.exit(named())
