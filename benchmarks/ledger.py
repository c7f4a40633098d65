"""Time, memory and disk space of a journal with a million results.

    python benchmarks/ledger.py [--results 1000000] [--folder FOLDER]

Writes an attempt and a result of ten seconds for each name, half of them in a first run that ends
as if killed, and reads all of them. Expect 0.13 ms to
write a result, 0.08 ms to read one and 0.1 KB of memory, see docs/guide/inference.md.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from avel_tf.events.event import Event
from avel_tf.events.result import Result, Segment
from avel_tf.inference.run_journal import LEDGER, LOCK, RunJournal


def main() -> None:
    """Prints one row of a table for each phase."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=int, default=1_000_000)
    parser.add_argument(
        "--folder", type=Path, help="where to write; a folder in /tmp when left out"
    )
    options = parser.parse_args()
    print("| phase | wall clock | processor | memory afterwards | peak |")
    print("|---|---|---|---|---|")
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        with phase("names"):
            inputs = [f"videos/{n // 1000:04d}/{n:08d}.mp4" for n in range(options.results)]
        half = len(inputs) // 2
        with ExitStack() as stack:
            with phase("open, empty"):
                journal = stack.enter_context(ledger_of(folder, inputs))
            with phase("append half"):
                label(journal, inputs[:half])
        lock = folder / LOCK
        lock.write_bytes(lock.read_bytes().replace(b"shut", b"open"))  # as kill -9 leaves it
        with ExitStack() as stack:
            with phase("open again, as after kill -9"):
                journal = stack.enter_context(ledger_of(folder, inputs))
            assert len(journal.waiting) == len(inputs) - half and not journal.retry_alone
            with phase("append the other half"):
                label(journal, journal.waiting)
        with ExitStack() as stack:
            with phase("open, all done"):
                journal = stack.enter_context(ledger_of(folder, inputs))
            assert not journal.waiting
            with phase("read all results"):
                assert sum(len(result.seconds) == 10 for result in journal.results()) == len(inputs)
        print(f"\nThe ledger has {(folder / LEDGER).stat().st_size / 1e6:.0f} MB.")


def ledger_of(folder: Path, inputs: list[str]) -> RunJournal:
    """The journal in a folder, not yet open."""
    return RunJournal(folder, inputs, setup={"model": "demo/1"}, model="demo/1")


def label(journal: RunJournal, paths: list[str]) -> None:
    """Writes the journal of a run on these files."""
    for path in paths:
        journal.attempt(path)
        seconds = tuple(Segment(s, s + 1, "Church bell", 0.876543) for s in range(10))
        events = (Event("Church bell", 2.0, 7.0, 0.876543),)
        journal.record(
            Result(path, "ok", duration=10.0, seconds=seconds, events=events, model="demo/1")
        )


@contextmanager
def phase(name: str) -> Iterator[None]:
    """Measures the body of the context."""
    wall, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
    yield
    wall, after = time.perf_counter() - wall, resource.getrusage(resource.RUSAGE_SELF)
    work = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    memory, peak = pages * resource.getpagesize() / 1e6, after.ru_maxrss * 1024 / 1e6
    print(f"| {name} | {wall:.1f} s | {work:.1f} s | {memory:.0f} MB | {peak:.0f} MB |", flush=True)


if __name__ == "__main__":
    main()
