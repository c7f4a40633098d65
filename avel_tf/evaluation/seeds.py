"""Aggregation of metrics over seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from avel_tf.evaluation.ratios import mean_of

# Metrics whose standard deviation is reported.
HEADLINE = (
    "segment_accuracy",
    "segment_f1",
    "event_f1",
    "event_map",
    "clip_accuracy",
    "background_recall",
    "onset_error_s",
    "offset_error_s",
)

# The same for multi-label models.
OF_SEVERAL_LABELS = ("segment_f1_macro", "segment_map")

# Properties of the split, copied from the first seed.
OF_THE_SPLIT = ("split", "segments", "videos", "clips_with_events", "skipped")

# Listed for each seed instead of averaged.
OF_EACH_SEED = ("decoder",)


def aggregate_seeds(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Mean and standard deviation of the metrics of several seeds.

    Args:
        runs: Result of `evaluate` for each seed, on the same split.

    Returns:
        The keys of `evaluate`, with the mean over the seeds with a value (including `confusion` and
        interval ends), and a list for `decoder`. In addition `seeds`, their number, and
        `standard_deviation` of each headline metric and of `ece` (sample, n - 1; None for fewer
        than two values).

    Raises:
        ValueError: If there is no run, or the splits differ.

    Example:
        >>> aggregate_seeds([metrics_of_seed_0, metrics_of_seed_1])["standard_deviation"]
        {'segment_accuracy': 0.004, ...
    """
    if not runs:
        raise ValueError("Metrics of at least one seed are required. Received: none.")
    first = runs[0]
    for number, run in enumerate(runs):
        for key in ("segments", "videos"):
            if run[key] != first[key]:
                raise ValueError(
                    f"All seeds must be evaluated on the same split. Received: {key}={run[key]} "
                    f"for run {number} and {key}={first[key]} for run 0."
                )
        if list(run["per_class"]) != list(first["per_class"]):
            raise ValueError(
                f"All seeds must have the same classes. Received: other classes for run {number} "
                "than for run 0."
            )
    mean = {key: _of_all(key, [run[key] for run in runs]) for key in first}
    known = [*HEADLINE, *(key for key in OF_SEVERAL_LABELS if key in first)]
    spread = {key: _deviation([run[key] for run in runs]) for key in known}
    spread["ece"] = _deviation([(run["calibration"] or {}).get("ece") for run in runs])
    return mean | {"seeds": len(runs), "standard_deviation": spread}


def _of_all(key: str, values: Sequence[Any]) -> Any:
    if key in OF_THE_SPLIT:
        return values[0]
    return list(values) if key in OF_EACH_SEED else _mean(values)


def _mean(values: Sequence[Any]) -> Any:
    present = [value for value in values if value is not None]
    if present and isinstance(present[0], Mapping):
        return {key: _mean([value[key] for value in present]) for key in present[0]}
    if present and isinstance(present[0], list):
        return [_mean(items) for items in zip(*present, strict=True)]
    # Equal counts stay integers.
    return present[0] if len(set(present)) == 1 else mean_of(present)


def _deviation(values: Sequence[float | None]) -> float | None:
    present = [value for value in values if value is not None]
    return float(np.std(present, ddof=1)) if len(present) > 1 else None
