"""Which head a data set needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from avel_tf.models.settings import ModelSettings


def resolve_head(
    settings: ModelSettings,
    targets: np.ndarray,
    valid: np.ndarray,
    labels: Sequence[str] | None = None,
) -> ModelSettings:
    """Holds the head against the training clips, and chooses it where it is `auto`.

    Args:
        settings: as they were asked for.
        targets: int `[N, T]`, the seconds of the training clips; background is C. Under weak
            supervision float `[N, T, C+1]`, what each clip holds.
        valid: bool `[N, T]`.
        labels: the C event classes, to name an example; C is taken to be the largest target
            otherwise.

    Returns:
        The settings with a head that is not `auto`: `factorised` where no clip holds several
        events, else `per_second`. These are what a run's configuration keeps.

    Raises:
        ValueError: the head is `factorised` and some clips hold several events.

    Example:
        >>> resolve_head(ModelSettings(), targets, valid, labels.names).head
        'factorised'
    """
    if targets.ndim == 3:
        seconds = targets[..., :-1] > 0  # [N, T, C]
    else:
        classes = len(labels) if labels is not None else int(targets.max(initial=0))
        seconds = targets[..., None] == np.arange(classes)  # [N, T, C]
    held = np.logical_or.reduce(seconds & valid[..., None], axis=1)  # [N, C]
    several = np.flatnonzero(held.sum(axis=1) > 1)
    if settings.head == "auto":
        return replace(settings, head="per_second" if len(several) else "factorised")
    if settings.head == "factorised" and len(several):
        events = np.flatnonzero(held[several[0]])[:2]
        names = [repr(labels[each]) if labels is not None else f"class {each}" for each in events]
        raise ValueError(
            f"{len(several)} of {len(targets)} training clips hold several different events (the "
            f"first: {' and '.join(names)}), and the factorised head names one event per clip. "
            "Set model.head=per_second, or leave it at auto, which chooses by the data."
        )
    return settings
