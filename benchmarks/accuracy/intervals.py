"""Means over clips and their bootstrap intervals; a clip is drawn with all its seconds."""

from __future__ import annotations

import numpy as np

DRAWS = 10_000


def interval(per_clip: np.ndarray, seed: int = 0) -> list[float]:
    """95 % interval of the mean of a value per clip, float [N], by drawing clips.

    For differences of two systems on each clip this is the paired interval.
    """
    generator = np.random.default_rng(seed)
    picks = generator.integers(len(per_clip), size=(DRAWS, len(per_clip)))
    return np.percentile(per_clip[picks].mean(axis=1), [2.5, 97.5]).tolist()


def summary(per_clip: np.ndarray) -> dict[str, object]:
    """Mean and interval, ready for JSON."""
    return {"mean": float(per_clip.mean()), "ci95": interval(per_clip)}


def percent(figure: dict[str, object], *, sign: bool = False) -> str:
    """A summary as `61.5 (59.2 to 63.8)`, in percent."""
    low, high = figure["ci95"]
    form = "+.1f" if sign else ".1f"
    return f"{100 * figure['mean']:{form}} ({100 * low:{form}} to {100 * high:{form}})"


def compared(right: dict[str, np.ndarray], title: str) -> dict[str, dict[str, object]]:
    """Accuracy of regression and network and their paired difference, as a table row.

    Args:
        right: `regression_clip`, `regression_second`, `network_clip` and `network_second`, each the
            accuracy on every clip, float [N].
        title: Heading of the table's first column.
    """
    figures = {name: summary(values) for name, values in right.items()}
    for what in ("clip", "second"):
        difference = right[f"network_{what}"] - right[f"regression_{what}"]
        figures[f"difference_{what}"] = summary(difference)
    print(f"\n| {title} | clips right, % | seconds right, % |")
    print("|---|---|---|")
    for name in ("regression", "network", "difference"):
        sign = name == "difference"
        cells = [percent(figures[f"{name}_{what}"], sign=sign) for what in ("clip", "second")]
        print(f"| {name} | {' | '.join(cells)} |")
    return figures
