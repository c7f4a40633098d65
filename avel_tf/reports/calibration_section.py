"""The reliability diagram of the page about a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from avel_tf.reports.style import GRID, MUTED, PALETTE, figure_to_svg, new_figure, style


def draw_reliability(bins: Sequence[Mapping[str, Any]]) -> str | None:
    """Draws how often the model is right when it says that it is so sure.

    Args:
        bins: `calibration.bins` of `metrics.json`.

    Returns:
        SVG; None where no second was measured.

    Reference:
        Guo et al., On Calibration of Modern Neural Networks, ICML 2017
        (https://arxiv.org/abs/1706.04599), figure 1.
    """
    filled = [each for each in bins if each["segments"]]
    if not filled:
        return None
    seconds = sum(each["segments"] for each in filled)
    figure, axes = new_figure(height=2.9, ncols=2)
    with style():
        axes[0].plot([0, 1], [0, 1], "--", color=MUTED, linewidth=1)
        axes[0].plot(
            [each["confidence"] for each in filled], [each["accuracy"] for each in filled], "o-",
            color=PALETTE[0], markersize=5,
        )  # fmt: skip
        axes[0].set_title("Share of right seconds")
        axes[0].set_ylim(0, 1.02)
        axes[1].bar(
            [(each["low"] + each["high"]) / 2 for each in filled],
            [each["segments"] / seconds for each in filled],
            width=0.9 * (filled[0]["high"] - filled[0]["low"]), color=PALETTE[0], edgecolor=GRID,
        )  # fmt: skip
        axes[1].set_title("Share of all seconds")
        for axis in axes:
            axis.set_xlim(0, 1.02)
            axis.set_xlabel("probability of the predicted class")
    return figure_to_svg(figure, "Share of right seconds by the probability that the model gave")
