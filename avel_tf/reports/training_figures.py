"""Figures of a training run: learning curves, confusion matrix, classes, calibration."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from avel_tf.evaluation.history import accuracy_of, best_epoch
from avel_tf.events.labels import Labels
from avel_tf.reports.style import (
    GRID,
    INK,
    MUTED,
    PALETTE,
    figure_to_svg,
    new_figure,
    standing_alone,
    style,
)

# Number of rows that fit a printed page.
MOST_CLASSES = 40
_LONGEST_NAME = 28
# Text is legible on this opacity in light and dark pages.
_STRONGEST_TINT = 0.6
# With more classes the numbers in the cells would be smaller than six points.
_NUMBERS_UP_TO = 30


def write_plots(folder: Path, metrics: dict[str, Any], labels: Labels) -> None:
    """Write `plots/curves.svg`, `plots/confusion.svg` and `plots/per_class.svg` into a run.

    Args:
        folder: The run, with its `history.csv`.
        metrics: Content of `metrics.json`.
        labels: The class vocabulary.

    Raises:
        ValueError: If `history.csv` is missing or invalid.

    Example:
        >>> write_plots(Path("RUN"), metrics, labels)
    """
    plots = Path(folder) / "plots"
    plots.mkdir(parents=True, exist_ok=True)
    drawings = {
        "curves": draw_curves(read_history(Path(folder) / "history.csv")),
        "per_class": draw_per_class(metrics["per_class"], labels),
    }
    if metrics["confusion"]:  # multi-label runs have none
        drawings["confusion"] = draw_confusion(metrics["confusion"], labels)
    for name, svg in drawings.items():
        (plots / f"{name}.svg").write_text(standing_alone(svg), "utf-8", newline="\n")


def read_history(path: Path) -> list[dict[str, float]]:
    """Read `history.csv`.

    Args:
        path: The file.

    Returns:
        One row per epoch, without empty cells.

    Raises:
        ValueError: If the file is missing, or is not a table of numbers with a column `epoch`.
    """
    try:
        with open(path, encoding="utf-8", newline="") as table:
            rows = [
                {key: float(value) for key, value in row.items() if value}
                for row in csv.DictReader(table, strict=True)
            ]
    except (OSError, UnicodeDecodeError, csv.Error, TypeError, ValueError) as error:
        raise ValueError(
            f"The history {path} cannot be read: {error}. avel train writes it after each epoch."
        ) from error
    if not rows or any("epoch" not in row for row in rows):
        raise ValueError(
            f"The history {path} must have one row per epoch, with its number in the column "
            f"'epoch'. Received: {len(rows)} rows."
        )
    return rows


def draw_curves(history: Sequence[Mapping[str, float]]) -> str:
    """Draw loss and accuracy over the epochs.

    Args:
        history: One row per epoch, as `read_history` returns.

    Returns:
        SVG.
    """
    figure, axes = new_figure(height=2.7, ncols=2)
    kept = best_epoch(history)
    accuracy = accuracy_of(history[0])
    titles = (("loss", "Loss"), (accuracy, accuracy.replace("_", " ").capitalize()))
    with style():
        for axis, (key, title) in zip(axes, titles, strict=True):
            for colour, line, prefix, name in (
                (PALETTE[0], "-", "", "training"),
                (PALETTE[1], "--", "val_", "validation"),
            ):
                points = [
                    (row["epoch"], row[prefix + key])
                    for row in history
                    if math.isfinite(row.get(prefix + key, math.nan))
                ]
                if points:
                    # A line of a single point is invisible without a marker.
                    axis.plot(
                        *zip(*points, strict=True), line, color=colour, linewidth=1.8, label=name,
                        marker="o" if len(points) == 1 else None, markersize=4,
                    )  # fmt: skip
            axis.axvline(kept, color=MUTED, linewidth=1, linestyle=":", label=f"kept: {kept}")
            axis.set_title(title)
            axis.set_xlabel("epoch")
            axis.grid(False, axis="x")
            # At least two epochs wide, so that ticks are whole numbers.
            axis.set_xlim(history[0]["epoch"] - 1, history[-1]["epoch"] + 1)
            axis.locator_params(axis="x", nbins=6, integer=True)
            axis.locator_params(axis="y", nbins=5)
        axes[0].set_ylim(bottom=0)
        axes[1].set_ylim(0, 1)
        axes[1].legend(loc="lower right", fontsize=8)
    return figure_to_svg(figure, "Loss and segment accuracy over the epochs")


def draw_confusion(confusion: Sequence[Sequence[float]], labels: Labels) -> str:
    """Draw the confusion matrix.

    Args:
        confusion: Segments by true and predicted class, `[C+1, C+1]`, background last.
        labels: The class vocabulary. With many classes, the most frequent ones are drawn.

    Returns:
        SVG. The shade of a cell is its share of the segments of the true class.
    """
    counts = np.asarray(confusion, np.float64)  # [C+1, C+1]
    shown = shown_classes(counts, labels)
    names = [_shorten(labels.name(index)) for index in shown]
    totals = counts.sum(axis=1, keepdims=True)  # [C+1, 1]
    shares = np.divide(counts, totals, out=np.zeros_like(counts), where=totals > 0)
    counts, shares = counts[np.ix_(shown, shown)], shares[np.ix_(shown, shown)]
    size = len(shown)
    figure, axis = new_figure(height=min(9.5, 1.9 + 0.24 * max(4, size)))
    small = 8 if size <= 16 else 6.5
    with style():
        for row, column in np.argwhere(counts > 0):
            axis.add_patch(_cell(column, row, shares[row, column] * _STRONGEST_TINT))
            # Means over seeds are rounded; those that round to zero are left out.
            if size <= _NUMBERS_UP_TO and (number := round(counts[row, column])):
                axis.text(column, row, number, ha="center", va="center", fontsize=small, color=INK)
        axis.set_xlim(-0.5, size - 0.5)
        axis.set_ylim(size - 0.5, -0.5)
        axis.set_xticks(range(size), names, rotation=90, fontsize=small)
        axis.set_yticks(range(size), names, fontsize=small)
        axis.set_xticks(np.arange(size + 1) - 0.5, minor=True)
        axis.set_yticks(np.arange(size + 1) - 0.5, minor=True)
        axis.tick_params(which="minor", length=0)
        axis.grid(False, which="major")
        axis.grid(True, which="minor", color=GRID, linewidth=0.6)
        axis.set_xlabel("predicted")
        axis.set_ylabel("true")
    return figure_to_svg(figure, "Confusion matrix: true class by row, predicted class by column")


def shown_classes(confusion: np.ndarray, labels: Labels) -> list[int]:
    """Classes that fit the confusion matrix.

    Args:
        confusion: `[C+1, C+1]`.
        labels: The class vocabulary.

    Returns:
        Indices in the order of the labels: all, or the most frequent ones and background.
    """
    if len(labels) <= MOST_CLASSES:
        return list(range(len(labels) + 1))
    support = np.asarray(confusion, np.float64)[:-1].sum(axis=1)  # [C]
    most = np.argsort(-support, kind="stable")[:MOST_CLASSES]
    return [*sorted(most.tolist()), labels.background]


def draw_per_class(per_class: Mapping[str, Mapping[str, float | None]], labels: Labels) -> str:
    """Draw F1, precision and recall of each class.

    Args:
        per_class: The entry of `metrics.json`, by class name.
        labels: The class vocabulary. With many classes, the best and the worst ones are drawn.

    Returns:
        SVG.
    """
    names = sorted(
        (name for name in labels.names if name in per_class),
        key=lambda name: (-_or(per_class[name]["f1"], -1.0), name),
    )
    if len(names) > MOST_CLASSES:
        names = [*names[: MOST_CLASSES // 2], *names[-MOST_CLASSES // 2 :]]
    places = np.arange(len(names))
    figure, axis = new_figure(height=1.1 + 0.21 * max(3, len(names)))
    with style():
        values = {
            key: [_or(per_class[name][key], math.nan) for name in names]
            for key in ("f1", "precision", "recall")
        }
        axis.barh(places, np.nan_to_num(values["f1"]), height=0.62, color=PALETTE[0], alpha=0.45,
                  label="F1")  # fmt: skip
        axis.plot(values["precision"], places, "d", color=PALETTE[4], markersize=5,
                  label="precision")  # fmt: skip
        axis.plot(values["recall"], places, "o", color=INK, markersize=4, fillstyle="none",
                  label="recall")  # fmt: skip
        axis.set_yticks(
            places, [f"{_shorten(name)}  ({per_class[name]['support']:,.0f})" for name in names]
        )
        axis.set_ylim(len(names) - 0.4, -0.6)
        axis.set_xlim(0, 1.02)
        axis.grid(False, axis="y")
        axis.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3)
    return figure_to_svg(figure, "F1, precision and recall of each class")


def draw_reliability(bins: Sequence[Mapping[str, Any]]) -> str | None:
    """Draw the reliability diagram: accuracy by predicted probability.

    Args:
        bins: `calibration.bins` of `metrics.json`.

    Returns:
        SVG, or None if no segment was measured.

    Reference:
        Guo et al., On Calibration of Modern Neural Networks, ICML 2017
        (https://arxiv.org/abs/1706.04599), figure 1.
    """
    filled = [each for each in bins if each["segments"]]
    if not filled:
        return None
    segments = sum(each["segments"] for each in filled)
    figure, axes = new_figure(height=2.9, ncols=2)
    with style():
        axes[0].plot([0, 1], [0, 1], "--", color=MUTED, linewidth=1)
        axes[0].plot(
            [each["confidence"] for each in filled], [each["accuracy"] for each in filled], "o-",
            color=PALETTE[0], markersize=5,
        )  # fmt: skip
        axes[0].set_title("Accuracy")
        axes[0].set_ylim(0, 1.02)
        axes[1].bar(
            [(each["low"] + each["high"]) / 2 for each in filled],
            [each["segments"] / segments for each in filled],
            width=0.9 * (filled[0]["high"] - filled[0]["low"]), color=PALETTE[0], edgecolor=GRID,
        )  # fmt: skip
        axes[1].set_title("Share of segments")
        for axis in axes:
            axis.set_xlim(0, 1.02)
            axis.set_xlabel("probability of the predicted class")
    return figure_to_svg(figure, "Reliability diagram: accuracy by predicted probability")


def _cell(column: int, row: int, tint: float) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle((column - 0.5, row - 0.5), 1, 1, color=PALETTE[0], alpha=tint, linewidth=0)


def _or(value: float | None, otherwise: float) -> float:
    return otherwise if value is None else value


def _shorten(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"
