"""Precision of a class against score, from the judgements of people."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from avel_tf.serving.annotations import Annotation

# Fewer judgements say nothing about a threshold.
FEWEST_JUDGEMENTS = 5
# Scores at which the curve is drawn.
POINTS = np.linspace(0.02, 0.98, 49)
# Normal quantile of a two-sided 95 % interval.
_QUANTILE = 1.96
# Standard deviation of the prior of both coefficients, on the scale of log-odds. It keeps the curve
# finite where all judgements agree.
_PRIOR = 3.0
_NEWTON_STEPS = 50


@dataclass(frozen=True)
class PrecisionCurve:
    """Probability that an event of a class is right, as a function of its score.

    A logistic regression of judgements on the log-odds of the score, with a weak normal prior.

    Args:
        coefficients: Intercept and slope, [2].
        covariance: Of the coefficients, [2, 2], by the Laplace approximation.

    Reference:
        Wood and Kahl, Guidelines for appropriate use of BirdNET scores and other detector outputs,
        Journal of Ornithology, 2024.
    """

    coefficients: np.ndarray
    covariance: np.ndarray

    def at(self, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Precision with its 95 % interval.

        Args:
            scores: [N], in (0, 1).

        Returns:
            Precision, lower and upper end, [N] each.
        """
        design = _design(scores)  # [N, 2]
        middle = design @ self.coefficients
        spread = _QUANTILE * np.sqrt(np.einsum("ni,ij,nj->n", design, self.covariance, design))
        return _sigmoid(middle), _sigmoid(middle - spread), _sigmoid(middle + spread)

    def threshold(self, precision: float) -> float | None:
        """Smallest score on a grid of 1/1000 from which on events reach a precision.

        Args:
            precision: In (0, 1).

        Returns:
            The score; None if no score reaches the precision.
        """
        grid = np.arange(1, 1000) / 1000
        below = np.flatnonzero(self.at(grid)[0] < precision)
        first = int(below[-1]) + 1 if len(below) else 0
        return float(grid[first]) if first < len(grid) else None


def fit_precision(scores: Sequence[float], right: Sequence[bool]) -> PrecisionCurve | None:
    """Fit the curve of a class.

    Args:
        scores: Scores of its judged events.
        right: Whether each was accepted.

    Returns:
        The curve; None with fewer than five judgements.
    """
    if len(scores) < FEWEST_JUDGEMENTS:
        return None
    design, target = _design(np.asarray(scores, float)), np.asarray(right, float)
    coefficients = np.zeros(2)
    prior = np.eye(2) / _PRIOR**2
    for _ in range(_NEWTON_STEPS):
        probability = _sigmoid(design @ coefficients)
        gradient = design.T @ (target - probability) - prior @ coefficients
        weights = probability * (1 - probability)
        hessian = design.T @ (design * weights[:, None]) + prior
        step = np.linalg.solve(hessian, gradient)
        coefficients = coefficients + step
        if np.abs(step).max() < 1e-9:
            break
    return PrecisionCurve(coefficients, np.linalg.inv(hessian))


def judgements(annotations: Iterable[Annotation], label: str) -> tuple[list[float], list[bool]]:
    """Scores of the judged events that the model gave a class, and whether they were right.

    An event counts as right if it was accepted, or kept its class when its times were changed.
    """
    scores, right = [], []
    for each in annotations:
        if each.predicted != label or each.status == "predicted" or each.score is None:
            continue
        scores.append(each.score)
        right.append(each.status in ("accepted", "changed") and each.label == label)
    return scores, right


def review_order(rows: list[tuple[str, Annotation]], order: str) -> list[tuple[str, Annotation]]:
    """Order unreviewed events for review.

    Args:
        rows: Identifier of the video and annotation.
        order: `uncertain`, the score nearest to 0.5 first; or `random`, in an order that does not
            change when events are reviewed.
    """
    if order == "random":
        return sorted(rows, key=lambda row: random.Random(f"{row[0]} {row[1].id}").random())
    return sorted(rows, key=lambda row: (abs((row[1].score or 0.0) - 0.5), row[0], row[1].start))


def _design(scores: np.ndarray) -> np.ndarray:
    clipped = np.clip(scores, 1e-3, 1 - 1e-3)
    return np.stack([np.ones_like(clipped), np.log(clipped / (1 - clipped))], axis=1)  # [N, 2]


def _sigmoid(values: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-values))
