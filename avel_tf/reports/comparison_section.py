"""Comparison of training runs, as in an ablation."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from avel_tf.evaluation.clip_outcome import ClipOutcome
from avel_tf.evaluation.paired import paired_bootstrap
from avel_tf.evaluation.predictions_file import FILE, read_predictions
from avel_tf.events.labels import Labels

# Configuration sections that affect the trained model.
_SECTIONS = ("model", "training", "data", "embeddings", "dataset")
# The seed is not part of the recipe.
_SEED = "training.seed"


@dataclass(frozen=True)
class ComparedRun:
    """A run compared with the run of the page.

    Attributes:
        name: The folder's name.
        settings: Settings that differ, as `key=value`.
        metrics: Content of its `metrics.json`.
        difference: Its segment accuracy minus that of the run of the page, on the same clips.
        ci95: 95 % confidence interval of the difference, from a bootstrap over clips.
        remark: Reason for a missing difference.
    """

    name: str
    settings: tuple[str, ...]
    metrics: dict[str, Any]
    difference: float | None
    ci95: tuple[float, float] | None
    remark: str | None


def compare_runs(
    folder: Path, outcomes: Sequence[ClipOutcome], labels: Labels, others: Sequence[Path]
) -> list[ComparedRun]:
    """Compares other runs with this one.

    Args:
        folder: Folder of this run.
        outcomes: Its clips; empty if its `predictions.jsonl` is missing.
        labels: Its classes.
        others: Folders of the other runs.

    Returns:
        One entry per other run, in order.

    Raises:
        ValueError: If one of them is not a finished run. The message names it.
    """
    ours = _settings(folder)
    return [_compared(other, ours, outcomes, labels) for other in others]


def _compared(
    folder: Path, ours: dict[str, Any], outcomes: Sequence[ClipOutcome], labels: Labels
) -> ComparedRun:
    try:
        metrics = json.loads((folder / "metrics.json").read_text("utf-8"))
        theirs = _settings(folder)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ValueError(
            f"{folder} is not a finished training run ({error}). --beside expects run folders "
            "written by avel train."
        ) from error
    changed = tuple(
        f"{key}={theirs.get(key)}"
        for key in sorted(ours.keys() | theirs.keys())
        if ours.get(key) != theirs.get(key) and key != _SEED
    )
    difference, ci95, remark = None, None, None
    if not outcomes:
        remark = "no predictions.jsonl in this run; avel train and avel evaluate --out write it"
    else:
        try:
            clips = read_predictions(folder / FILE, labels)
            # Theirs first: a positive difference means that the other run is better.
            numbers = paired_bootstrap(clips, outcomes, labels)["numbers"]["segment_accuracy"]
            difference, ci95 = numbers["difference"], numbers["ci95"] and tuple(numbers["ci95"])
        except (OSError, ValueError) as error:
            remark = str(error)
    return ComparedRun(folder.resolve().name, changed, metrics, difference, ci95, remark)


def _settings(folder: Path) -> dict[str, Any]:
    """Settings that affect a run's outcome, flattened: `{"model.name": "avel"}`."""
    content = yaml.safe_load((folder / "config.yaml").read_text("utf-8"))
    flat: dict[str, Any] = {}

    def walk(prefix: str, value: Any) -> None:
        if isinstance(value, dict):
            for key, each in value.items():
                walk(f"{prefix}.{key}" if prefix else str(key), each)
        else:
            flat[prefix] = value

    for section in _SECTIONS:
        walk(section, (content or {}).get(section, {}))
    return flat
