"""What a row of `history.csv` says about its epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

SEGMENT_ACCURACY = "segment_accuracy"
# In its place where training knows no more than what each clip holds.
CLIP_ACCURACY = "clip_accuracy"


def accuracy_of(row: Mapping[str, float]) -> str:
    """The accuracy that a run measures, `segment_accuracy` or `clip_accuracy`."""
    return CLIP_ACCURACY if CLIP_ACCURACY in row else SEGMENT_ACCURACY


def rank(row: Mapping[str, float]) -> tuple[float, float]:
    """What makes an epoch better than another: its accuracy on validation, then its loss there."""
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
