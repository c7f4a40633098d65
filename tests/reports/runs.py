"""The folder of a training run, without the training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from avel_tf.evaluation.clip_outcome import ClipOutcome
from avel_tf.evaluation.clip_outcomes import clip_outcomes
from avel_tf.evaluation.metrics import evaluate
from avel_tf.evaluation.predictions_file import write_predictions
from avel_tf.evaluation.seeds import aggregate_seeds
from avel_tf.events.labels import Labels

LABELS = Labels(["Bark", "</script><b>&", "Clock"])
HISTORY = "epoch,loss,segment_accuracy,val_loss,val_segment_accuracy\n" + "".join(
    f"{epoch},{1 / epoch},{1 - 0.5 / epoch},{2 / epoch},{accuracy}\n"
    for epoch, accuracy in ((1, 0.25), (2, 0.75), (3, 0.75), (4, 0.5))
)
RECIPE: dict[str, Any] = {
    "visual": {
        "module": "compact", "sha256": "ab" * 32, "frames_per_second": 4, "size": 128, "width": 480
    },
    "audio": {
        "module": "https://tfhub.dev/google/vggish/1", "sha256": "cd" * 32, "sample_rate": 16000,
        "activation": "relu", "width": 128,
    },
    "versions": {"tensorflow": "2.21.0"},
}  # fmt: skip


def said(seed: int, labels: Labels) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Truth and probabilities of six clips; about a third of the events' seconds are missed."""
    rng = np.random.default_rng(0)
    reference = {f"v{i}<b>.mp4": rng.integers(len(labels) + 1, size=5).repeat(2) for i in range(6)}
    rng = np.random.default_rng(seed + 1)
    sure = {
        name: np.where(rng.random(10) < 0.7, truth, labels.background)
        for name, truth in reference.items()
    }
    probabilities = {
        name: 0.2 / (len(labels) + 1) + 0.8 * np.eye(len(labels) + 1)[index]  # [T, C+1]
        for name, index in sure.items()
    }
    return reference, probabilities


def outcomes(seed: int = 0, labels: Labels = LABELS) -> list[ClipOutcome]:
    reference, probabilities = said(seed, labels)
    return clip_outcomes(reference, probabilities, labels)


def measured(seed: int = 0, labels: Labels = LABELS) -> dict[str, Any]:
    reference, predicted = said(seed, labels)
    return {
        "split": "test",
        **evaluate(
            reference,
            predicted,
            labels,
            train_counts=None,
            skipped=[{"video": "odd\udcff\n.mp4", "reason": "It has no <i>pictures</i>."}],
        ),
    }


def write_run(
    folder: Path, *, seeds: int = 1, labels: Labels = LABELS, seed: int = 0
) -> dict[str, Any]:
    runs = [measured(each, labels) for each in range(seed, seed + seeds)]
    metrics = runs[0] if seeds == 1 else aggregate_seeds(runs)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "metrics.json").write_text(json.dumps(metrics))
    (folder / "history.csv").write_text(HISTORY)
    (folder / "config.yaml").write_text("model:\n  name: bi_avatt\n  note: '</pre><b>'\n")
    (folder / "manifest.json").write_text(json.dumps({"schema": 1, "recipe": RECIPE}))
    labels.save(folder / "labels.txt")
    write_predictions(folder, outcomes(seed, labels), labels)
    return metrics
