"""All benchmarks in one run: decode, embed, pipeline, head, start, memory, with peers.

    python benchmarks/run.py [--peer-python PATH] [--rounds 3] [--only KIND,...] [--quick]
    make bench

Writes `results.json` and `results.md` to `--out`. Needs PyTorch for the peer, either here
(`pip install -e .[bench]`) or in the interpreter that `--peer-python` names, with av, numpy and
opencv. Rows without their libraries are marked. It runs on any processor, in the precisions that
the processor computes in. The amount of work follows from the speed of its matrix products, and
later rounds are left out where they would exceed `--minutes`. Networks with random weights take
3 GB in `--scratch`.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import plan
from clips import make_clips
from machine import computes_in_int8, describe, precisions
from plan import Case, Contest
from report import markdown, row_of, summarize
from worker import Worker

HERE = Path(__file__).resolve().parent
CORES = len(os.sched_getaffinity(0))
# Kinds that need ResNet-152 and VGGish.
WITH_LARGE = {"start", "bare", "embed", "head", "pipeline", "command"}
TUNED = {"embed", "pipeline"}
NO_TUNING = {"tried": [], "best": {}}
logger = logging.getLogger("benchmarks")


def main() -> None:
    """Measure, and write all results after every contest."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default=",".join(plan.KINDS), help="some of the default")
    parser.add_argument("--minutes", type=float, default=35.0, help="without the first rounds")
    parser.add_argument("--quick", action="store_true", help="one short round: does it work?")
    parser.add_argument("--peer-python", default=sys.executable)
    parser.add_argument("--scratch", type=Path, default=Path("build/benchmarks"))
    parser.add_argument("--out", type=Path, default=Path("build/benchmarks"))
    options = parser.parse_args()
    kinds = [kind.strip() for kind in options.only.split(",")]
    if unknown := set(kinds) - set(plan.KINDS):
        parser.error(f"--only takes {', '.join(plan.KINDS)}. Received: {', '.join(unknown)}")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    rounds = 1 if options.quick else options.rounds
    end = time.monotonic() + 60 * options.minutes
    scratch = options.scratch.resolve()
    for folder in (scratch / "logs", options.out):
        folder.mkdir(parents=True, exist_ok=True)

    results: dict[str, Any] = {
        "schema": 1,
        "machine": describe(options.peer_python),
        "rounds": rounds,
        "quick": options.quick,
        "contests": {},
    }
    installed = {*results["machine"]["versions"]} - {"torch"}
    installed |= {*results["machine"]["peer_versions"]} & {"torch"}
    clips = partial(make_clips, scratch)
    large = bool(WITH_LARGE & set(kinds)) or ("compact" in kinds and not options.quick)
    networks = ["large"] * large + ["compact"] * ("compact" in kinds)
    if networks:
        logger.info("networks: %s", ", ".join(networks))
        subprocess.run([sys.executable, HERE / "networks.py", scratch, *networks], check=True)
    with Workers(options.peer_python, scratch) as workers:
        amounts = plan.QUICK if options.quick else plan.FULL.scaled(speed(workers, installed))
        tuned = TUNED & set(kinds) and "torch" in installed
        results["peer"] = tune(options, scratch, clips, amounts) if tuned else NO_TUNING
        contests = list(
            plan.contests(
                *(kinds, clips, amounts, CORES, results["peer"]["best"], precisions()),
                int8="openvino" in installed and computes_in_int8(),
                large=large,
            )
        )
        for place, contest in enumerate(contests):
            # Each contest has an equal part of the time that is left.
            part = (end - time.monotonic()) / (len(contests) - place)
            logger.info("%s (%d of %d)", contest.name, place + 1, len(contests))
            results["contests"][contest.name] = measure(contest, workers, rounds, installed, part)
            workers.keep(contests[place + 1 :])
            write(results, options.out, scratch)
    print((options.out / "results.md").read_text())


def speed(workers: Workers, installed: Collection[str]) -> float:
    """Speed of matrix products, as a part of that of the machine that `plan.FULL` is for."""
    engine = next(each for each in plan.ENGINES if each in installed)
    worker = ("bare.py", engine, precisions()[0])
    answer = workers.ask(Case("speed", "GFLOP", worker, {"case": "matmul"}))
    if "failed" in answer:
        raise RuntimeError(answer["failed"])
    gflops = answer["amount"] / answer["wall_s"]
    logger.info("%s %s: %.0f GFLOP/s", engine, precisions()[0], gflops)
    return min(1.0, gflops / plan.FULL_GFLOPS)


def tune(
    options: argparse.Namespace, scratch: Path, clips: Callable, amounts: plan.Amounts
) -> dict[str, Any]:
    """The peer's best settings on this machine."""
    logger.info("the peer's best setting")
    given = json.dumps(clips(360, max(2, amounts.clips[1] // 3)))
    command = [options.peer_python, HERE / "peer.py", scratch, "--tune", given]
    command += ["--images", str(amounts.images // 2), "--precisions", *precisions()]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


def measure(
    contest: Contest,
    workers: Workers,
    rounds: int,
    installed: Collection[str],
    seconds: float = float("inf"),
) -> dict[str, Any]:
    """Every case once per round; each round starts with the next case.

    Rounds after the first are left out if they would end after `seconds`.
    """
    samples: dict[str, list[dict[str, Any]]] = {case.label: [] for case in contest.cases}
    began = time.monotonic()
    for number in range(min(rounds, contest.rounds or rounds)):
        if number and (time.monotonic() - began) * (number + 1) / number > seconds:
            break
        first = number % len(contest.cases)
        for case in contest.cases[first:] + contest.cases[:first]:
            found = samples[case.label]
            if case.needs and case.needs not in installed:
                found.append({"absent": f"{case.needs} is not installed"})
            elif all("amount" in sample for sample in found):  # failed cases are not repeated
                found.append(workers.ask(case))
    return {
        case.label: row_of(case.label, case.unit, samples[case.label]) for case in contest.cases
    }


def write(results: dict[str, Any], out: Path, scratch: Path) -> None:
    """`results.json` and `results.md`."""
    flops_file = scratch / "flops.json"
    flops = json.loads(flops_file.read_text()) if flops_file.exists() else {}
    results |= summarize(results["contests"], flops, CORES)
    (out / "results.json").write_text(json.dumps(results, indent=2) + "\n")
    (out / "results.md").write_text(markdown(results))


class Workers:
    """Worker processes by command, started on first use."""

    def __init__(self, peer_python: str, scratch: Path) -> None:
        self._peer_python = peer_python
        self._scratch = scratch
        self._running: dict[tuple[str, ...], Worker] = {}
        self._started = 0

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_: object) -> None:
        self.keep([])

    def ask(self, case: Case) -> dict[str, Any]:
        """One measurement of a case; failed workers are not used again."""
        answer = self._of(case).ask(case.request)
        if "failed" in answer:
            self._running.pop(case.worker).close()
        return answer

    def _of(self, case: Case) -> Worker:
        if case.worker not in self._running:
            script, *arguments = case.worker
            python = self._peer_python if case.peer else sys.executable
            self._started += 1
            log = self._scratch / "logs" / f"{self._started:02d}-{Path(script).stem}.log"
            self._running[case.worker] = Worker(
                [python, str(HERE / script), str(self._scratch), *arguments], log
            )
        return self._running[case.worker]

    def keep(self, contests: Iterable[Contest]) -> None:
        """End workers that no later contest needs, to free memory."""
        wanted = {case.worker for contest in contests for case in contest.cases}
        for name in set(self._running) - wanted:
            self._running.pop(name).close()


if __name__ == "__main__":
    main()
