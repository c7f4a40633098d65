"""HTML page of a data set audit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from avel_tf.datasets.audit.report import AuditReport
from avel_tf.reports.html import render_page
from avel_tf.reports.style import GRID, INK, MUTED, PALETTE, figure_to_svg, new_figure, style
from avel_tf.utils.durable_files import atomic_text
from avel_tf.utils.text import printable

# Number of rows that fit a printed page.
_MOST_CLASSES = 40
_LONGEST_NAME = 32
# Places that the page lists per finding.
_MOST_PLACES = 200


def write_audit_report(report: AuditReport, path: str | Path) -> None:
    """Write an audit as one self-contained HTML page.

    Args:
        report: The audit.
        path: The HTML file to write. Its folder is created if it is missing.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    html = render_page(
        "audit.html",
        report=report,
        name=report.dataset.root.name or str(report.dataset.root),
        printable=printable,
        worst=_MOST_PLACES,
        drawings=draw_report(report),
    )
    with atomic_text(path) as file:
        file.write(html)


def draw_report(report: AuditReport) -> dict[str, str]:
    """Figures of the audit page.

    Args:
        report: The audit.

    Returns:
        SVG by name: `classes`, `background`, `durations`, `times`. Figures without data are left
        out.
    """
    drawings = {"classes": _classes(report), "background": _background(report)}
    if any(report.durations(balance.split) for balance in report.balances):
        drawings["durations"] = _durations(report)
    if any(video.annotations for video in report.dataset.videos):
        drawings["times"] = _times(report)
    return drawings


def _classes(report: AuditReport) -> str:
    train = report.balances[0].seconds[:-1]  # [C]
    order = np.argsort(-train, kind="stable")  # [C]
    if len(order) > _MOST_CLASSES:
        half = _MOST_CLASSES // 2
        order = np.concatenate([order[:half], order[-half:]])  # [_MOST_CLASSES]
    names = [_shorten(printable(report.dataset.labels.names[index])) for index in order]
    places = np.arange(len(order))
    figure, axes = new_figure(
        height=0.8 + 0.19 * max(3, len(order)), ncols=len(report.balances), sharey=True
    )
    with style():
        for colour, axis, balance in zip(PALETTE, axes, report.balances, strict=False):
            values = balance.seconds[order]
            axis.barh(places, values, height=0.7, color=colour)
            axis.set_title(balance.split)
            axis.set_xlabel("seconds")
            axis.set_xlim(0, max(1, values.max(initial=0)) * 1.05)
            axis.locator_params(axis="x", nbins=3, integer=True)
            axis.grid(False, axis="y")
        axes[0].set_yticks(places, names)
        axes[0].set_ylim(len(order) - 0.4, -0.6)
    return figure_to_svg(figure, "Seconds per class, one panel per split")


def _background(report: AuditReport) -> str:
    figure, axis = new_figure(height=1.2)
    splits = [balance.split for balance in report.balances]
    shares = np.array([balance.background for balance in report.balances])
    with style():
        filled = np.array([balance.total > 0 for balance in report.balances])
        axis.barh(splits, (1 - shares) * filled, height=0.6, color=PALETTE[0], label="event")
        axis.barh(
            splits,
            shares * filled,
            left=(1 - shares) * filled,
            height=0.6,
            color=GRID,
            label="background",
        )
        for place, (share, known) in enumerate(zip(shares, filled, strict=True)):
            text = f"{share:.1%} background" if known else "no seconds"
            axis.text(1.01, place, text, va="center", color=INK)
        axis.set_xlim(0, 1)
        axis.invert_yaxis()
        axis.set_xticks([])
        axis.grid(False)
        axis.spines["bottom"].set_visible(False)
    return figure_to_svg(figure, "Share of background seconds in each split")


def _durations(report: AuditReport) -> str:
    found = {balance.split: report.durations(balance.split) for balance in report.balances}
    everything = np.concatenate([np.asarray(values) for values in found.values()])
    low, high = float(everything.min()), float(everything.max())
    # Bars of at least half a second, so that clips of equal length share one bar.
    count = int(np.clip(np.ceil((high - low) / 0.5), 1, 30))
    middle = (low + high) / 2
    half = max((high - low) / 2, 0.25)
    edges = np.linspace(middle - half, middle + half, count + 1)
    figure, axis = new_figure(height=2.4)
    with style():
        axis.hist(
            list(found.values()), bins=edges, stacked=True, label=list(found),
            color=PALETTE[: len(found)], rwidth=0.9,
        )  # fmt: skip
        _finish(axis, "duration, s", "files")
        if count == 1:
            axis.set_xlim(max(0, middle - 5), middle + 5)
    return figure_to_svg(figure, "File durations")


def _times(report: AuditReport) -> str:
    events = [event for video in report.dataset.videos for event in video.annotations]
    last = max(1.0, *(event.end for event in events))
    # One bar per second, or a hundred bars for long videos.
    edges = np.arange(-0.5, np.ceil(last) + 1) if last <= 100 else np.linspace(0, last * 1.01, 101)
    figure, axis = new_figure(height=2.4)
    with style():
        for values, label, colour in (
            ([event.start for event in events], "starts", PALETTE[2]),
            ([event.end for event in events], "ends", PALETTE[4]),
        ):
            counts, _ = np.histogram(values, bins=edges)
            axis.stairs(counts, edges, fill=True, alpha=0.25, color=colour)
            axis.stairs(counts, edges, color=colour, linewidth=1.5, label=label)
        _finish(axis, "time in the video, s", "events")
        axis.set_xlim(edges[0], edges[-1])
    return figure_to_svg(figure, "Event start and end times")


def _finish(axis: Any, x_label: str, y_label: str) -> None:
    axis.set_xlabel(x_label)
    axis.set_ylabel(y_label, color=MUTED)
    axis.grid(False, axis="x")
    axis.locator_params(axis="y", nbins=4, integer=True)
    axis.legend(loc="upper center", bbox_to_anchor=(0.5, 1.18), ncols=4)


def _shorten(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"
