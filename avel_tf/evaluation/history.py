"""Ranking of epochs by the rows of `history.csv`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

SEGMENT_ACCURACY = "segment_accuracy"
# Instead of it under weak supervision.
CLIP_ACCURACY = "clip_accuracy"
# Instead of them for multi-label models.
SEGMENT_F1 = "segment_f1"
CLIP_F1 = "clip_f1"


def accuracy_of(row: Mapping[str, float]) -> str:
    """Metric that selects the epoch of a run.

    `segment_accuracy`, or `clip_accuracy` under weak supervision; `segment_f1` or `clip_f1` for
    multi-label models.
    """
    others = (name for name in (CLIP_ACCURACY, SEGMENT_F1, CLIP_F1) if name in row)
    return next(others, SEGMENT_ACCURACY)


def rank(row: Mapping[str, float]) -> tuple[float, float]:
    """Rank of an epoch: validation accuracy (or F1), then validation loss."""
    return (row.get(f"val_{accuracy_of(row)}", 0.0), -row.get("val_loss", float("inf")))


def best_epoch(history: Sequence[Mapping[str, float]]) -> int:
    """Epoch whose model a run keeps.

    Args:
        history: One row per epoch.

    Returns:
        The epoch with the highest validation accuracy; ties by lowest validation loss, then the
        earliest. The last epoch without a validation split.
    """
    if not any("val_loss" in row for row in history):
        return int(history[-1]["epoch"])
    return int(max(history, key=rank)["epoch"])
