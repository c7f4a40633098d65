"""Ranking of epochs by the rows of `history.csv`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

SEGMENT_ACCURACY = "segment_accuracy"
# In its place where training knows no more than what each clip holds.
CLIP_ACCURACY = "clip_accuracy"
# Likewise of a model that gives a second any number of labels.
SEGMENT_F1 = "segment_f1"
CLIP_F1 = "clip_f1"


def accuracy_of(row: Mapping[str, float]) -> str:
    """The number that a run chooses its epoch by: `segment_accuracy`, or what it has in its place.

    `clip_accuracy` under weak supervision, `segment_f1` and `clip_f1` of several labels.
    """
    others = (name for name in (CLIP_ACCURACY, SEGMENT_F1, CLIP_F1) if name in row)
    return next(others, SEGMENT_ACCURACY)


def rank(row: Mapping[str, float]) -> tuple[float, float]:
    """Rank of an epoch: accuracy (or F1) on validation, then the loss there."""
    return (row.get(f"val_{accuracy_of(row)}", 0.0), -row.get("val_loss", float("inf")))


def best_epoch(history: Sequence[Mapping[str, float]]) -> int:
    """The epoch whose model a run keeps.

    Args:
        history: One row per epoch.

    Returns:
        The epoch with the highest accuracy on the validation split, then the lowest loss, then the
        earliest; the last epoch where there is no validation split.
    """
    if not any("val_loss" in row for row in history):
        return int(history[-1]["epoch"])
    return int(max(history, key=rank)["epoch"])
