"""Numbers about segments of one second, all read off one confusion matrix.

A ratio whose denominator is zero has no value: these functions return None for it, never 0, 1 or
NaN, and a mean over classes leaves it out.
"""

from __future__ import annotations

import numpy as np

from avel_tf.events.labels import Labels

# The key of the mean over the classes among `per_class`.
MACRO = "macro average"


def confusion_matrix(reference: np.ndarray, predicted: np.ndarray, labels: Labels) -> np.ndarray:
    """Count the segments by their true and their predicted class.

    Args:
        reference: True class of each segment, int `[N]`, the background last.
        predicted: Predicted class of each segment, int `[N]`.
        labels: The class vocabulary.

    Returns:
        int64 `[C+1, C+1]`: rows are the true class, columns the predicted one.

    Example:
        >>> confusion_matrix(np.array([0, 0, 1]), np.array([0, 1, 1]), Labels(["Bark"]))
        array([[1, 1],
               [0, 1]])
    """
    size = len(labels) + 1
    pairs = np.asarray(reference, np.int64) * size + np.asarray(predicted, np.int64)  # [N]
    return np.bincount(pairs, minlength=size * size).reshape(size, size)  # [C+1, C+1]


def segment_accuracy(confusion: np.ndarray) -> float | None:
    """Share of all segments, the background's included, whose class is right.

    Args:
        confusion: `[C+1, C+1]`, from `confusion_matrix`.

    Returns:
        A number in [0, 1]; None without a segment.

    Reference:
        Tian et al., Audio-Visual Event Localization in Unconstrained Videos, ECCV 2018: the
        protocol of the AVE dataset.
    """
    return ratio(np.trace(confusion), confusion.sum())


def segment_f1(confusion: np.ndarray) -> float | None:
    """F1 over the segments of all event classes counted together (micro); no background.

    A segment of one class predicted as another counts twice: as missed, and as a false alarm.

    Args:
        confusion: `[C+1, C+1]`, from `confusion_matrix`.

    Returns:
        A number in [0, 1]; None if neither side has an event segment.

    Reference:
        Mesaros et al., Metrics for Polyphonic Sound Event Detection, Applied Sciences 2016:
        segment-based, instance-based averaging.
    """
    events = slice(0, -1)
    return f1(
        np.trace(confusion[events, events]), confusion[events].sum(), confusion[:, events].sum()
    )


def background_recall(confusion: np.ndarray) -> float | None:
    """Share of the background's segments that are recognised as background.

    Args:
        confusion: `[C+1, C+1]`, from `confusion_matrix`.

    Returns:
        A number in [0, 1]; None if no segment is background.
    """
    return ratio(confusion[-1, -1], confusion[-1].sum())


def per_class(confusion: np.ndarray, labels: Labels) -> dict[str, dict[str, float | int | None]]:
    """Precision, recall, F1 and support of the segments of each event class.

    Args:
        confusion: `[C+1, C+1]`, from `confusion_matrix`.
        labels: The class vocabulary.

    Returns:
        By class name, `precision`, `recall`, `f1` (None where it has no value) and `support`, the
        number of true segments; and under "macro average" their unweighted means over the
        classes where they have a value, with the support of all.

    Reference:
        Mesaros et al., Metrics for Polyphonic Sound Event Detection, Applied Sciences 2016:
        segment-based, class-based averaging.
    """
    events = slice(0, -1)
    return per_class_of_counts(
        np.diagonal(confusion)[events],
        confusion.sum(axis=1)[events],
        confusion.sum(axis=0)[events],
        labels,
    )


def per_class_of_counts(
    matched: np.ndarray, reference: np.ndarray, predicted: np.ndarray, labels: Labels
) -> dict[str, dict[str, float | int | None]]:
    """What `per_class` returns, of segments that may have several classes as well.

    Args:
        matched: Segments that truly have and were given each class, int `[C]`.
        reference: Segments that have it, int `[C]`.
        predicted: Segments that were given it, int `[C]`.
        labels: The class vocabulary.
    """
    rows: dict[str, dict[str, float | int | None]] = {}
    for index, name in enumerate(labels.names):
        right, support, found = int(matched[index]), int(reference[index]), int(predicted[index])
        rows[name] = {
            "precision": ratio(right, found),
            "recall": ratio(right, support),
            "f1": f1(right, support, found),
            "support": support,
        }
    macro: dict[str, float | int | None] = {
        key: mean_of([row[key] for row in rows.values()]) for key in ("precision", "recall", "f1")
    }
    # A class that is really called so keeps its own row.
    rows.setdefault(MACRO, macro | {"support": int(reference.sum())})
    return rows


def ratio(part: float, whole: float) -> float | None:
    """`part / whole`, or None where there is no whole.

    Args:
        part: The numerator.
        whole: The denominator.

    Returns:
        The quotient, or None if `whole` is zero.
    """
    return float(part / whole) if whole else None


def f1(matched: float, reference: float, predicted: float) -> float | None:
    """Harmonic mean of precision and recall, written so that it needs neither.

    Args:
        matched: How many are right.
        reference: How many there are.
        predicted: How many were predicted.

    Returns:
        2 matched / (reference + predicted): 0 if only one side is empty, None if both are.
    """
    return ratio(2 * matched, reference + predicted)


def mean_of(values: list[float | int | None]) -> float | None:
    """Mean of the values that are there.

    Args:
        values: Numbers, or None.

    Returns:
        The mean, or None if there is no number.
    """
    numbers = [value for value in values if value is not None]
    return float(np.mean(numbers)) if numbers else None
