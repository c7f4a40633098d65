"""Labels and predictions of a split."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from avel_tf.evaluation.clip_outcome import ClipOutcome
from avel_tf.evaluation.clip_outcomes import clip_outcomes
from avel_tf.evaluation.metrics import evaluate
from avel_tf.events.labels import Labels
from avel_tf.events.postprocessing import Postprocessing


@dataclass(frozen=True, eq=False)
class SplitPredictions:
    """Reference and probabilities of a split, by clip.

    Attributes:
        split: `train`, `validation` or `test`.
        labels: The class vocabulary.
        reference: True class of each segment, int `[T]` each; or its classes, bool `[T, C]` each.
        probabilities: float `[T, C+1]` each, background last.
        valid: Mask of the counted segments, bool `[T]` each; None for all.
        train_counts: Segments of each class in the training split, `[C+1]`; None without one.
        skipped: Clips that could not be used, with `video` and `reason`.
    """

    split: str
    labels: Labels
    reference: dict[str, np.ndarray]
    probabilities: dict[str, np.ndarray]
    valid: dict[str, np.ndarray] | None
    train_counts: np.ndarray | None
    skipped: list[dict[str, str]]

    def metrics(
        self, postprocessing: Postprocessing | None = None, *, seed: int = 0
    ) -> dict[str, Any]:
        """Compute the content of `metrics.json`; see `avel_tf.evaluation.metrics.evaluate`.

        Args:
            postprocessing: Fitted on the validation split; its temperature is already applied to
                the probabilities.
            seed: Seed of the confidence intervals.
        """
        measured = evaluate(
            self.reference,
            self.probabilities,
            self.labels,
            valid=self.valid,
            train_counts=self.train_counts,
            skipped=self.skipped,
            seed=seed,
            postprocessing=postprocessing,
        )
        return {"split": self.split, **measured}

    def outcomes(self, postprocessing: Postprocessing | None = None) -> list[ClipOutcome]:
        """Outcomes of the clips, as in `predictions.jsonl`.

        Args:
            postprocessing: As in `metrics`.
        """
        return clip_outcomes(
            self.reference,
            self.probabilities,
            self.labels,
            valid=self.valid,
            decoder=(postprocessing or Postprocessing()).events,
            thresholds=(postprocessing or Postprocessing()).thresholds,
        )

    @property
    def multi_label(self) -> bool:
        """True if a segment of the reference may have several classes."""
        return next(iter(self.reference.values())).ndim == 2

    def counted_seconds(self) -> tuple[np.ndarray, np.ndarray]:
        """All counted segments, concatenated.

        Returns:
            Probabilities float `[N, C+1]` and true classes, int `[N]` or bool `[N, C]`.
        """
        names = sorted(self.reference)
        masks = self.valid or {name: np.ones(len(self.reference[name]), bool) for name in names}
        return (
            np.concatenate(
                [np.zeros((0, len(self.labels) + 1))]
                + [self.probabilities[name][masks[name]] for name in names]
            ),
            np.concatenate([self.reference[name][masks[name]] for name in names])
            if names
            else np.zeros(0, np.int64),
        )
