"""Robustness results as a table and a figure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from avel_tf.reports.style import (
    INK,
    MUTED,
    PALETTE,
    figure_to_svg,
    new_figure,
    standing_alone,
    style,
)
from avel_tf.utils.durable_files import atomic_text

_COLUMNS = 4  # panels side by side on a page
_MARKERS = "osD^v"


def robustness_table(found: Mapping[str, Any]) -> str:
    """Write accuracy by corruption, severity and model.

    Args:
        found: Result of `measure_robustness`.

    Returns:
        A Markdown table, in percent. The last column is the correct label: background where a
        modality is gone, else as annotated.
    """
    names = list(found["conditions"][0]["models"])
    lines = [
        f"| corruption | severity | {' | '.join(names)} | correct label |",
        f"|---|---|{'---:|' * len(names)}---|",
    ]
    for each in found["conditions"]:
        scores = [f"{100 * each['models'][name]['accuracy']:.1f}" for name in names]
        what = (each["corruption"] or "none").replace("_", " ")
        lines.append(
            f"| {what} | {severity_text(each)} | {' | '.join(scores)} | "
            f"{'background' if each['truth'] == 'background' else 'as labelled'} |"
        )
    return "\n".join(lines)


def write_robustness(found: Mapping[str, Any], folder: Path) -> None:
    """Write `robustness.json` and the figure `robustness.svg` to a folder."""
    with atomic_text(folder / "robustness.json") as file:
        file.write(json.dumps(found, indent=2) + "\n")
    with atomic_text(folder / "robustness.svg") as file:
        file.write(standing_alone(draw_robustness(found)))


def severity_text(condition: Mapping[str, Any]) -> str:
    """Return a severity as in `-5 dB` or `75 %`."""
    number, unit = _number_and_unit(condition)
    return f"{number} {unit}".strip()


def draw_robustness(found: Mapping[str, Any]) -> str:
    """Draw accuracy against severity: a panel for each corruption, a line for each model.

    Args:
        found: Result of `measure_robustness`.

    Returns:
        SVG. Each panel starts with the accuracy on clean clips. Severities at which background
        is correct have open markers.
    """
    clean, *rest = found["conditions"]
    panels: dict[str, list[Mapping[str, Any]]] = {}
    for each in rest:
        panels.setdefault(each["corruption"], []).append(each)
    names = list(clean["models"])
    rows = max(1, -(-len(panels) // _COLUMNS))
    figure, axes = new_figure(
        height=0.5 + 2.1 * rows, nrows=rows, ncols=min(_COLUMNS, max(1, len(panels))),
        sharey=True, squeeze=False,
    )  # fmt: skip
    with style():
        for axis, (title, points) in zip(axes.flat, panels.items(), strict=False):
            _draw_panel(axis, title, [clean, *points], names)
        for axis in axes.flat[len(panels) :]:
            axis.set_visible(False)
        for row in axes:
            row[0].set_ylabel("segment accuracy")
        handles, texts = axes.flat[0].get_legend_handles_labels()
        figure.legend(handles, texts, loc="outside upper left", ncols=len(names))
    return figure_to_svg(figure, "Segment accuracy by severity of each corruption")


def _draw_panel(
    axis: Any, title: str, points: Sequence[Mapping[str, Any]], names: Sequence[str]
) -> None:
    places = range(len(points))
    kept = [place for place in places if points[place]["truth"] == "labels"]
    removed = [place for place in places if points[place]["truth"] == "background"]
    for number, name in enumerate(names):
        colour, marker = PALETTE[number % len(PALETTE)], _MARKERS[number % len(_MARKERS)]
        accuracy = [each["models"][name]["accuracy"] for each in points]
        axis.plot(
            kept, [accuracy[place] for place in kept], color=colour, marker=marker, markersize=4,
            linewidth=1.6, label=name,
        )  # fmt: skip
        axis.plot(
            removed, [accuracy[place] for place in removed], color=colour, marker=marker,
            markersize=5, linestyle="", fillstyle="none",
        )  # fmt: skip
    if removed:
        axis.axvline(removed[0] - 0.5, color=MUTED, linewidth=1, linestyle=":")
        # Above the highest possible marker.
        axis.text(removed[0] - 0.45, 1.2, "correct:\nbackground", fontsize=7, color=INK, va="top")
    axis.set_title(title.replace("_", " "))
    axis.set_xticks(places, [_number_and_unit(each)[0] or "none" for each in points], fontsize=8)
    axis.set_xlabel(_number_and_unit(points[-1])[1], fontsize=8)
    axis.set_xlim(-0.4, len(points) - 0.2)
    axis.set_ylim(0, 1.22)
    axis.set_yticks([0, 0.25, 0.5, 0.75, 1])
    axis.grid(False, axis="x")


def _number_and_unit(condition: Mapping[str, Any]) -> tuple[str, str]:
    severity, unit = condition["severity"], condition["unit"]
    if severity is None:
        return "", ""
    return (f"{100 * severity:g}", "%") if unit == "share" else (f"{severity:g}", unit)
