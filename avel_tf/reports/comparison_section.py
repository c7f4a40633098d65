"""Several runs side by side, as in an ablation."""

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

# Sections that say what was trained; the others say how it was run.
_SECTIONS = ("model", "training", "data", "embeddings", "dataset")
# A difference of seeds alone is no difference of recipe.
_SEED = "training.seed"


@dataclass(frozen=True)
class ComparedRun:
    """One run beside the one that the page is about.

    Attributes:
        name: The folder's name.
        settings: What it was trained with otherwise, as `key=value`.
        metrics: What its `metrics.json` holds.
        difference: Its segment accuracy less that of this run, on the same clips.
        ci95: 95 % interval of the difference, from drawing clips.
        remark: Why there is no difference.
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
    """Holds other runs against this one.

    Args:
        folder: This run.
        outcomes: Its clips; none where its `predictions.jsonl` is missing.
        labels: Its classes.
        others: The other runs' folders.

    Returns:
        The other runs in their order.

    Raises:
        ValueError: If one of them is no measured run; the sentence names it.
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
            f"{folder} is no finished and measured training run ({error}). --beside takes folders "
            "that avel train wrote."
        ) from error
    changed = tuple(
        f"{key}={theirs.get(key)}"
        for key in sorted(ours.keys() | theirs.keys())
        if ours.get(key) != theirs.get(key) and key != _SEED
    )
    difference, ci95, remark = None, None, None
    if not outcomes:
        remark = "this run has no predictions.jsonl; avel train and avel evaluate --out write it"
    else:
        try:
            clips = read_predictions(folder / FILE, labels)
            # Theirs first: the sign says what the change brought.
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
