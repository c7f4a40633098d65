"""Run time of the `avel` command, each time in a new process.

python benchmarks/command.py SCRATCH
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from measuring import MEGABYTE, Work
from worker import serve

AVEL = (sys.executable, "-P", "-m", "avel_tf.cli")


def run_command(command: Sequence[str]) -> float:
    """Run to the end; returns the peak memory in MB of the largest process of its tree."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}")
    return usage.ru_maxrss * 1024 / MEGABYTE


def help_case() -> Callable[[], Work]:
    """`avel --help`."""
    run_command((*AVEL, "--help"))  # byte code is compiled once
    return lambda: Work(1, run_command((*AVEL, "--help")))


class Infer:
    """`avel infer`."""

    def __init__(self, scratch: Path) -> None:
        self.scratch = scratch

    def case(
        self,
        paths: list[str],
        engine: str,
        precision: str,
        model: str | None = None,
        first: bool = False,
    ) -> Callable[[], Work]:
        """Label files with one of our networks, or with the default of `avel infer`.

        `first` starts with an empty cache, as on a new machine.
        """

        def run() -> Work:
            with tempfile.TemporaryDirectory() as folder:
                cache = Path(folder) / "cache" if first else self.scratch / "cache"
                words = ["infer", *paths]
                words += ["--model", str(self.scratch / "models" / model)] if model else []
                words += ["--out", str(Path(folder) / "results"), "--formats", "jsonl"]
                words += ["--engine", engine, "--set", f"engine.precision={precision}"]
                words += ["--set", f"engine.cache={cache}"]
                return Work(len(paths), run_command((*AVEL, *words)))

        if not first:
            run()
        return run


if __name__ == "__main__":
    infer = Infer(Path(sys.argv[1]))
    serve({"help": help_case, "infer": infer.case})
