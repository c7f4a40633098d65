"""Medians, ratios and rooflines of measurements, in Markdown."""

from __future__ import annotations

import itertools
import statistics
from typing import Any

from machine import instruction_set
from plan import HEIGHTS, PIPELINES, RATES, contest_name, per_second

SECONDS = 10
PRECISIONS = ("float32", "bfloat16", "int8", "autocast")
COSTS = ("s of processor each", "memory, MB", "children, MB")
# Speed-ups over the peers that the project aims at, for each F.
WANTED = {
    "PyTorch": {1: 2.5, 16: 2.0},
    "TensorFlow": {1: 6.0, 16: 6.0},
    "ResNet-152,": {1: 3.0},  # of the compact backbones
}


def row_of(label: str, unit: str, samples: list[dict[str, Any]]) -> dict[str, Any]:
    """Row of one case, with `absent` or `failed` instead of missing numbers."""
    row: dict[str, Any] = {"label": label, "unit": unit}
    for sample in samples:
        for reason in ("absent", "failed"):
            if reason in sample:
                return {**row, reason: sample[reason]}
    rates = [sample["amount"] / sample["wall_s"] for sample in samples]
    return {
        **row,
        "rates": rates,
        "median": statistics.median(rates),
        "wall_s": statistics.median(each["wall_s"] / each["amount"] for each in samples),
        "cpu_s": statistics.median(each["cpu_s"] / each["amount"] for each in samples),
        "memory_mb": max(each["memory_mb"] for each in samples),
        "children_mb": max(each["children_mb"] for each in samples),
    }


def summarize(found: dict[str, dict[str, Any]], flops: dict[str, int], cores: int) -> dict:
    """Ratios and rooflines of the measured cases.

    Args:
        found: Rows by label for each contest.
        flops: Operations per image and per second of audio; empty without networks.
        cores: Number of available cores.
    """
    peaks: dict[str, float] = {}  # GFLOP/s of the fastest library, by precision
    for label, row in found.get("matmul", {}).items():
        if "median" in row:
            precision = label.split()[-1]
            peaks[precision] = max(row["median"], peaks.get(precision, 0.0))
    return {
        "peaks": peaks,
        "ratios": list(_ratios(found)),
        "rooflines": list(_rooflines(found, flops, cores, peaks)),
        "stages": list(_stages(found, flops, cores, peaks)),
        "embed_against_bare": list(_embed_against_bare(found)),
    }


def _precision(label: str) -> str:
    """As in `avel-tf, openvino float32` and `PyTorch bfloat16 traced pyav`; of ours or a peer."""
    return next((word for word in label.split() if word in PRECISIONS), "")


def _stages(found, flops, cores, peaks):
    """Share of the processors and of the peak of matrix products that each stage uses."""
    works: list[tuple[str, float]] = []  # contest, and GFLOP for each unit
    if flops:
        image, second = flops["image"] / 1e9, flops["second of sound"] / 1e9
        works += [("bare network, images", image), ("bare network, sounds", second)]
        works += [(f"embed, {per_second(rate)}", image + second / rate) for rate in RATES]
        works += [
            (contest_name("pipeline", height, rate), SECONDS * (rate * image + second))
            for rate, height in PIPELINES
        ]
    works += [
        (contest_name("decode", height, rate), 0.0)
        for height, rate in itertools.product(HEIGHTS, RATES)
    ]
    for contest, work in works:
        for label, row in found.get(contest, {}).items():
            if "median" not in row:
                continue
            peak = peaks.get(_precision(label))
            yield {
                "contest": contest,
                "label": label,
                "processors": row["median"] * row["cpu_s"] / cores,
                "gflops": row["median"] * work or None,
                "of the peak": row["median"] * work / peak if peak and work else None,
            }


def _ratios(found):
    held = [("pipeline", rate) for rate in RATES] + [("compact", 1)]
    for height, (kind, rate) in itertools.product(HEIGHTS, held):
        name = contest_name(kind, height, rate)
        rows = found.get(name, {})
        for mine, other in itertools.product(rows.values(), rows.values()):
            rival = other["label"].split()[0]
            if not mine["label"].startswith("avel-tf") or rival not in WANTED:
                continue
            if "rates" not in mine or "rates" not in other:
                continue
            # Cases of one round are adjacent in time and share disturbances.
            each = [a / b for a, b in zip(mine["rates"], other["rates"], strict=True)]
            yield {
                "contest": name,
                "faster": mine["label"],
                "than": other["label"],
                "ratio": statistics.median(each),
                "lowest": min(each),
                "highest": max(each),
                "cpu_ratio": other["cpu_s"] / mine["cpu_s"],
                "wanted": WANTED[rival][rate],
            }


def _rooflines(found, flops, cores, peaks):
    for rate, height in PIPELINES if flops else ():
        decode = found.get(contest_name("decode", height, rate), {}).get("avel-tf, isolated", {})
        embeds = found.get(f"embed, {per_second(rate)}", {})
        work = SECONDS * (rate * flops["image"] + flops["second of sound"]) / 1e9
        for label, row in found.get(contest_name("pipeline", height, rate), {}).items():
            embed, peak = embeds.get(label, {}), peaks.get(_precision(label))
            if not (peak and all("median" in each for each in (row, decode, embed))):
                continue
            images = SECONDS * rate
            limits = {
                "decode alone": decode["median"],
                "embed alone": embed["median"] / images,
                "matmul peak": peak / work,
                # Both share the cores: their total work, spread evenly.
                "shared cores": cores / (decode["cpu_s"] + images * embed["cpu_s"]),
            }
            yield {
                "contest": contest_name("pipeline", height, rate),
                "label": label,
                "clips/s": row["median"],
                **limits,
                "of the lowest": row["median"] / min(limits.values()),
            }


def _embed_against_bare(found):
    for rate in RATES:
        for label, row in found.get(f"embed, {per_second(rate)}", {}).items():
            engine = label.removeprefix("avel-tf, ")
            bare = [
                found.get(f"bare network, {x}", {}).get(engine, {}) for x in ("images", "sounds")
            ]
            if engine == label or not all("median" in each for each in (row, *bare)):
                continue
            # An image, and its share of a second of audio.
            bound = 1 / (1 / bare[0]["median"] + 1 / rate / bare[1]["median"])
            yield {
                "label": label,
                "rate": rate,
                "images/s": row["median"],
                "bare images/s": bound,
                "share": row["median"] / bound,
            }


def markdown(results: dict[str, Any]) -> str:
    """The whole report."""
    machine = results["machine"]
    lines = [
        "# Measured",
        "",
        f"{machine['processor']}, {machine['cores']} cores ({', '.join(machine['flags'])}), "
        f"{machine['memory_gb']} GB, {machine['system']}, Python {machine['python']}. "
        f"{machine['date']}. At most {results['rounds']} rounds, in turn; load before: "
        f"{machine['load_before']}.",
        "",
        f"Ours: {_versions(machine['versions'])}. Peer: {_versions(machine['peer_versions'])}.",
    ]
    if results["peaks"]:
        lines += ["", "## Peaks of matrix products", "", *_table(("", "instructions", "GFLOP/s"))]
        lines += [
            f"| {precision} | {instruction_set(machine['flags'], precision)} | {peak:.0f} |"
            for precision, peak in results["peaks"].items()
        ]
    for name, rows in results["contests"].items():
        unit = next(iter(rows.values()))["unit"]
        head = ("", f"{unit}/s (median)", "lowest to highest", "s each")
        lines += ["", f"## {name}", "", *_table((*head, *COSTS))]
        lines += [_row(row) for row in rows.values()]
    if results["ratios"]:
        head = ("contest", "faster", "than", "times", "lowest to highest", "by processor", "wanted")
        lines += ["", "## How often faster", "", *_table(head)]
        lines += [
            f"| {r['contest']} | {r['faster']} | {r['than']} | **{r['ratio']:.2f}** "
            f"| {r['lowest']:.2f} to {r['highest']:.2f} | {r['cpu_ratio']:.2f} | {r['wanted']:g} |"
            for r in results["ratios"]
        ]
    if results["embed_against_bare"]:
        lines += ["", "## Embed stage against the bare networks", ""]
        lines += _table(("", "F", "images/s", "bare images/s", "share"))
        lines += [
            f"| {r['label']} | {r['rate']} | {r['images/s']:.1f} | {r['bare images/s']:.1f} "
            f"| {r['share']:.0%} |"
            for r in results["embed_against_bare"]
        ]
    if results["rooflines"]:
        keys = ("decode alone", "embed alone", "matmul peak", "shared cores")
        lines += ["", "## Rooflines, clips/s", ""]
        lines += _table(("contest", "", "measured", *keys, "of the lowest"))
        lines += [
            f"| {r['contest']} | {r['label']} | {r['clips/s']:.2f} | "
            + " | ".join(f"{r[key]:.2f}" for key in keys)
            + f" | {r['of the lowest']:.0%} |"
            for r in results["rooflines"]
        ]
    if results["stages"]:
        lines += ["", "## Stages", ""]
        lines += ["Processor time of all processors, and matrix peak of the row's precision.", ""]
        lines += _table(("stage", "", "of the processors", "GFLOP/s", "of the peak"))
        lines += [
            f"| {r['contest']} | {r['label']} | {r['processors']:.0%} "
            f"| {_number(r['gflops'], '.0f')} | {_number(r['of the peak'], '.0%')} |"
            for r in results["stages"]
        ]
    if results["peer"]["tried"]:
        lines += ["", "## What was tried for the peer", ""]
        lines += [
            "- " + ", ".join(f"{key} {value}" for key, value in each.items())
            for each in results["peer"]["tried"]
        ]
    return "\n".join(lines) + "\n"


def _row(row: dict[str, Any]) -> str:
    for reason in ("absent", "failed"):
        if reason in row:
            return f"| {row['label']} | {row[reason]} | | | | | |"
    low, high = min(row["rates"]), max(row["rates"])
    return (
        f"| {row['label']} | {row['median']:.3g} | {low:.3g} to {high:.3g} "
        f"| {row['wall_s']:.3g} | {row['cpu_s']:.3g} "
        f"| {row['memory_mb']:.0f} | {row['children_mb']:.0f} |"
    )


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def _table(head: tuple[str, ...]) -> list[str]:
    return [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]


def _versions(versions: dict[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())
