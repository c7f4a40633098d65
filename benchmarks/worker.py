"""Worker processes that measure on request, so that warm competitors can alternate."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from measuring import Work, measure

# From the parameters of a request to a warmed-up run.
Prepare = Callable[..., Callable[[], Work]]


def serve(cases: Mapping[str, Prepare]) -> None:
    """Answer requests until standard input ends.

    A request is a line of JSON: `case`, and the parameters of its `Prepare`. Prepared cases are
    kept for further requests with the same parameters.
    """
    # Output of libraries must not mix with the replies.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    prepared: dict[str, Callable[[], Work]] = {}
    for line in sys.stdin:
        if line not in prepared:
            request = json.loads(line)
            prepared[line] = cases[request.pop("case")](**request)
        print(json.dumps(measure(prepared[line])), file=answers, flush=True)


class Worker:
    """A process that runs `serve`.

    Args:
        command: The interpreter, the script and its arguments.
        log: File for its standard error.
    """

    def __init__(self, command: Sequence[str], log: Path) -> None:
        self.log = log
        with log.open("w") as sink:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=sink, text=True
            )

    def ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """One measurement, or `failed` with the reason."""
        assert self._process.stdin and self._process.stdout
        try:
            print(json.dumps(request), file=self._process.stdin, flush=True)
            answer = self._process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if answer:
            return json.loads(answer)
        lines = self.log.read_text(errors="replace").strip().splitlines() or ["no message"]
        return {"failed": f"{lines[-1][:200]} (see {self.log})"}

    def close(self) -> None:
        """End the process, and wait for it."""
        with contextlib.suppress(BrokenPipeError):  # it has ended before
            self._process.communicate()
        self._process.wait()
