"""Ratios that are None if the denominator is zero.

None means undefined, never 0, 1 or NaN. Means leave it out.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def ratio(part: float, whole: float) -> float | None:
    """`part / whole`, or None if `whole` is zero.

    Args:
        part: The numerator.
        whole: The denominator.

    Returns:
        The quotient, or None if `whole` is zero.
    """
    return float(part / whole) if whole else None


def f1(matched: float, reference: float, predicted: float) -> float | None:
    """Harmonic mean of precision and recall, from counts.

    Args:
        matched: Number of matches.
        reference: Number of true items.
        predicted: Number of predicted items.

    Returns:
        2 matched / (reference + predicted): 0 if only one side is empty, None if both are.
    """
    return ratio(2 * matched, reference + predicted)


def mean_of(values: Sequence[float | int | None]) -> float | None:
    """Mean of the values that are not None.

    Args:
        values: Numbers, or None.

    Returns:
        The mean, or None if there is no number.
    """
    numbers = [value for value in values if value is not None]
    return float(np.mean(numbers)) if numbers else None
