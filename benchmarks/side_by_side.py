"""Results of several machines in one table.

    python benchmarks/side_by_side.py benchmarks/results/*.json

Each file is a `results.json` of `make bench`. Prints Markdown, a column for each machine.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from machine import INSTRUCTION_SETS, instruction_set
from plan import PIPELINES, contest_name
from report import PRECISIONS

Results = dict[str, Any]


def main() -> None:
    """Print the table."""
    if len(sys.argv) < 2:
        raise SystemExit(__doc__.strip())
    print(side_by_side([json.loads(Path(name).read_text()) for name in sys.argv[1:]]))


def side_by_side(machines: list[Results]) -> str:
    """The table as Markdown."""
    rows = [("", [_name(each) for each in machines]), ("---", ["---"] * len(machines))]
    rows += [("date", [each["machine"]["date"] for each in machines])]
    rows += [
        (f"matrix products, {precision}, GFLOP/s", [_peak(each, precision) for each in machines])
        for precision in PRECISIONS
    ]
    for rate, height in PIPELINES:
        name = contest_name("pipeline", height, rate)
        rows += [
            (f"{name}: avel-tf, clips/s", [_best(each, name, "avel-tf") for each in machines]),
            (f"{name}: PyTorch, clips/s", [_best(each, name, "PyTorch") for each in machines]),
            (f"{name}: times PyTorch", [_ratio(each, name) for each in machines]),
            (f"{name}: of the lowest bound", [_bound(each, name) for each in machines]),
        ]
    return "\n".join(f"| {head} | {' | '.join(cells)} |" for head, cells in rows if any(cells))


def _name(results: Results) -> str:
    machine = results["machine"]
    best = [name for flag, (name, _) in INSTRUCTION_SETS.items() if flag in machine["flags"]]
    family, model, _ = machine["family, model, stepping"]
    return f"{machine['processor']} (family {family}, model {model}), {best[-1]}"


def _peak(results: Results, precision: str) -> str:
    peak = results["peaks"].get(precision)
    if peak is None:
        return ""
    return f"{peak:.0f} ({instruction_set(results['machine']['flags'], precision)})"


def _best(results: Results, contest: str, start: str) -> str:
    rows = results["contests"].get(contest, {})
    found = [row for label, row in rows.items() if label.startswith(start) and "median" in row]
    if not found:
        return ""
    row = max(found, key=lambda each: each["median"])
    return f"{row['median']:.3g} ({row['label'].removeprefix(start).strip(', ')})"


def _ratio(results: Results, contest: str) -> str:
    found = [
        row["ratio"]
        for row in results["ratios"]
        if row["contest"] == contest and row["than"].startswith("PyTorch")
    ]
    return format(max(found), ".2f") if found else ""


def _bound(results: Results, contest: str) -> str:
    """Share of the lowest bound that the fastest row with a bound of its own reaches."""
    found = [
        row
        for row in results["rooflines"]
        if row["contest"] == contest and row["label"].startswith("avel-tf")
    ]
    fastest = max(found, key=lambda row: row["clips/s"], default=None)
    if fastest is None:
        return ""
    return f"{fastest['of the lowest']:.0%} ({fastest['label'].removeprefix('avel-tf, ')})"


if __name__ == "__main__":
    main()
