"""Wall clock, processor time and memory of this process and of its children; stdlib only."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

MEGABYTE = 2**20
# Fields of /proc/PID/stat after the name, which may contain anything: parent id, and user and
# system time of the process and of its ended children.
_PARENT, _WORK = 1, slice(11, 15)


class Work(NamedTuple):
    """Measurements of a run.

    Attributes:
        amount: Number of clips, images or steps.
        memory_mb: Peak memory, if measured by the run itself.
    """

    amount: float
    memory_mb: float | None = None


def measure(run: Callable[[], Work]) -> dict[str, Any]:
    """Run once and measure.

    Returns:
        `amount`, `wall_s`, `cpu_s` (this process and its descendants), `memory_mb` (peak of this
        process during the run) and `children_mb` (sum of the peaks of the children still there).
    """
    _forget_peak()
    before, began = processor_seconds(), time.perf_counter()
    work = run()
    wall, after = time.perf_counter() - began, processor_seconds()
    own, *children = (_peak(pid) for pid in process_tree())
    return {
        "amount": work.amount,
        "wall_s": wall,
        "cpu_s": after - before,
        "memory_mb": own if work.memory_mb is None else work.memory_mb,
        "children_mb": sum(children),
    }


def timed(run: Callable[[], object]) -> tuple[float, float]:
    """Wall clock and processor seconds of one run."""
    began, worked = time.perf_counter(), processor_seconds()
    run()
    return time.perf_counter() - began, processor_seconds() - worked


def processor_seconds() -> float:
    """Processor time of this process and all its descendants, ended ones included."""
    ticks = sum(int(field) for pid in process_tree() for field in _stat(pid)[_WORK])
    return ticks / os.sysconf("SC_CLK_TCK")


def process_tree() -> list[int]:
    """This process and its living descendants."""
    below: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and (fields := _stat(int(entry.name))):
            below.setdefault(int(fields[_PARENT]), []).append(int(entry.name))
    tree = [os.getpid()]
    for pid in tree:
        tree += below.get(pid, [])
    return tree


def _stat(pid: int) -> list[str]:
    """Fields of /proc/PID/stat after the name; empty if the process has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def _peak(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    kilobytes = [int(line.split()[1]) for line in lines if line.startswith("VmHWM:")]
    return sum(kilobytes) * 1024 / MEGABYTE


def _forget_peak() -> None:
    """Reset the peak memory of this process (proc(5), clear_refs)."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except PermissionError:
        return  # not permitted in some containers; the peak then includes earlier use
