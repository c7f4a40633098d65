"""Check that a head can represent the labels of a data set."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from avel_tf.models.settings import ModelSettings


def check_head(
    settings: ModelSettings,
    targets: np.ndarray,
    valid: np.ndarray,
    labels: Sequence[str] | None = None,
) -> None:
    """Refuse the factorised head, which predicts one event per clip, for clips with several.

    Args:
        settings: as they were asked for.
        targets: int `[N, T]`, the seconds of the training clips; background is C. Under weak
            supervision float `[N, T, C+1]`, what each clip holds.
        valid: bool `[N, T]`.
        labels: the C event classes, to name an example; C is taken to be the largest target
            otherwise.

    Raises:
        ValueError: the head is `factorised` and some clips hold several events.

    Example:
        >>> check_head(ModelSettings(head="factorised"), targets, valid, labels.names)
        ValueError: 12 of 40 training clips hold several different events (…)
    """
    if settings.head != "factorised":
        return
    if targets.ndim == 3:
        seconds = targets[..., :-1] > 0  # [N, T, C]
    else:
        classes = len(labels) if labels is not None else int(targets.max(initial=0))
        seconds = targets[..., None] == np.arange(classes)  # [N, T, C]
    held = np.logical_or.reduce(seconds & valid[..., None], axis=1)  # [N, C]
    several = np.flatnonzero(held.sum(axis=1) > 1)
    if len(several):
        events = np.flatnonzero(held[several[0]])[:2]
        names = [repr(labels[each]) if labels is not None else f"class {each}" for each in events]
        raise ValueError(
            f"{len(several)} of {len(targets)} training clips hold several different events (the "
            f"first: {' and '.join(names)}), and the factorised head names one event per clip. "
            "Set model.head=per_second, which names one per second, or model.head=multi_label, "
            "which names any number."
        )
