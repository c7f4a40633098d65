"""Calibration of predicted probabilities."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import expit

from avel_tf.evaluation.ratios import ratio

# As in Guo et al. and most later papers.
BINS = 15
# The likelihood of a split without errors has its maximum at temperature zero, that of a split
# without a correct segment at infinity. Trained networks have 0.5 to 3 (Guo et al., table 3 of the
# supplement, and label smoothing below one), well within these limits.
LOWEST, HIGHEST = 0.25, 4.0
# Smaller probabilities count as zero: the smallest normal number of a float32 softmax.
_SMALLEST = float(np.finfo(np.float32).tiny)
# Precision of the complement of a sigmoid in float32.
_LEAST_OF_SIGMOID = float(np.finfo(np.float32).eps)


def with_temperature(
    probabilities: np.ndarray, temperature: float, *, multi_label: bool = False
) -> np.ndarray:
    """Apply a temperature to probabilities, equivalent to dividing their logits by it.

    Args:
        probabilities: float `[N, C+1]`.
        temperature: Above one flattens, below one sharpens. The order of classes is unchanged.
        multi_label: True for a sigmoid per class instead of a softmax.

    Returns:
        float64 `[N, C+1]`; rows sum to one, unless `multi_label`.
    """
    if multi_label:
        given = np.asarray(probabilities, np.float64)
        odds = np.log(np.maximum(given, _SMALLEST)) - np.log(np.maximum(1.0 - given, _SMALLEST))
        return expit(odds / temperature)
    logits = np.log(np.maximum(np.asarray(probabilities, np.float64), _SMALLEST)) / temperature
    scaled = np.exp(logits - logits.max(axis=-1, keepdims=True))  # [N, C+1]
    return scaled / scaled.sum(axis=-1, keepdims=True)


def negative_log_likelihood(probabilities: np.ndarray, reference: np.ndarray) -> float | None:
    """Mean of -log p(true class), in nats.

    Args:
        probabilities: float `[N, C+1]`.
        reference: True class of each segment, int `[N]`; or its classes, bool `[N, C]`, with the
            mean over the classes as well.

    Returns:
        The mean; None without a segment.
    """
    if not len(reference):
        return None
    if reference.ndim == 2:
        given = np.asarray(probabilities, np.float64)[:, :-1]  # [N, C]
        true = np.where(reference, given, 1.0 - given)
        return float(-np.log(np.maximum(true, _LEAST_OF_SIGMOID)).mean())
    true = np.take_along_axis(probabilities, reference[:, None], axis=1)  # [N, 1]
    return float(-np.log(np.maximum(true, _SMALLEST)).mean())


def fit_temperature(probabilities: np.ndarray, reference: np.ndarray) -> float:
    """Temperature with the maximum likelihood of a validation split.

    Args:
        probabilities: Of a softmax without temperature, float `[N, C+1]`, background last.
        reference: True class of each second, int `[N]`, or its classes, bool `[N, C]`.

    Returns:
        A number from `LOWEST` to `HIGHEST`; 1 without a second.

    Reference:
        Guo et al., On Calibration of Modern Neural Networks, ICML 2017
        (https://arxiv.org/abs/1706.04599), section 4.2.
    """
    if not len(reference):
        return 1.0
    # The likelihood is concave in the reciprocal, so there is one optimum and a search finds it.
    found = minimize_scalar(
        lambda sharpness: negative_log_likelihood(
            with_temperature(probabilities, 1.0 / sharpness, multi_label=reference.ndim == 2),
            reference,
        ),
        bounds=(1.0 / HIGHEST, 1.0 / LOWEST),
        method="bounded",
    )
    return float(1.0 / found.x)


def reliability(confidence: np.ndarray, right: np.ndarray, bins: int = BINS) -> dict[str, Any]:
    """Expected calibration error of the top label, and the bins of a reliability diagram.

    Args:
        confidence: Probability of the predicted class of each segment, float `[N]` in [0, 1].
        right: True for correct predictions, bool `[N]`.
        bins: Number of bins of equal width over [0, 1]. Each includes its lower end, the last
            one both ends.

    Returns:
        `ece`, the mean over segments of the distance between confidence and accuracy of their bin
        (None without a segment), and `bins`: `low`, `high`, `segments`, mean `confidence` and
        `accuracy` (None if empty).

    Reference:
        Naeini et al., Obtaining Well Calibrated Probabilities Using Bayesian Binning, AAAI 2015.
    """
    confidence, right = np.asarray(confidence, np.float64), np.asarray(right, bool)  # [N]
    place = np.minimum((confidence * bins).astype(np.int64), bins - 1)  # [N]
    count = np.bincount(place, minlength=bins)  # [bins]
    sure = np.bincount(place, weights=confidence, minlength=bins)  # [bins]
    hits = np.bincount(place, weights=right, minlength=bins)  # [bins]
    return {
        "ece": ratio(float(np.abs(sure - hits).sum()), len(confidence)),
        "bins": [
            {
                "low": number / bins,
                "high": (number + 1) / bins,
                "segments": int(count[number]),
                "confidence": ratio(sure[number], count[number]),
                "accuracy": ratio(hits[number], count[number]),
            }
            for number in range(bins)
        ],
    }


def calibration(
    probabilities: np.ndarray, reference: np.ndarray, temperature: float
) -> dict[str, Any]:
    """Calibration entry of `metrics.json`.

    Args:
        probabilities: After temperature scaling, float `[N, C+1]`, background last.
        reference: True class of each segment, int `[N]`; or its classes, bool `[N, C]`, where each
            class of each segment is one binary prediction.
        temperature: The applied temperature, removed for `uncalibrated`.

    Returns:
        `temperature`, `ece`, `nll`, the latter two also under `uncalibrated`, and the `bins` of
        `reliability`.
    """

    several = reference.ndim == 2

    def measured(given: np.ndarray) -> tuple[dict[str, Any], float | None]:
        diagram = (
            reliability(given[:, :-1].ravel(), reference.ravel())
            if several
            else reliability(given.max(axis=-1), given.argmax(axis=-1) == reference)
        )
        return diagram, negative_log_likelihood(given, reference)

    diagram, nll = measured(probabilities)
    before, nll_before = measured(
        probabilities
        if temperature == 1.0
        else with_temperature(probabilities, 1.0 / temperature, multi_label=several)
    )
    return {
        "temperature": temperature,
        "ece": diagram["ece"],
        "nll": nll,
        "uncalibrated": {"ece": before["ece"], "nll": nll_before},
        "bins": diagram["bins"],
    }
