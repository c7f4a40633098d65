"""Average precision of the segments of each class: how well probabilities rank them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from avel_tf.evaluation.clip_outcome import ClipOutcome
from avel_tf.evaluation.clip_outcomes import as_probabilities
from avel_tf.evaluation.segment_metrics import MACRO, mean_of
from avel_tf.events.labels import Labels


def add_average_precision(
    per_class: dict[str, dict[str, float | int | None]],
    clips: Sequence[ClipOutcome],
    predicted: Mapping[str, np.ndarray],
    labels: Labels,
) -> float | None:
    """Add `average_precision` to the rows of `per_class`, and their mean to its macro average.

    Args:
        per_class: What `per_class_of_counts` returned.
        clips: The clips.
        predicted: Probabilities float `[T, C+1]` or classes bool `[T, C]` by clip.
        labels: The class vocabulary.

    Returns:
        Mean over the classes that have a true segment; None if none has one.

    Reference:
        scikit-learn's `average_precision_score`; the mean is that of AudioSet (Gemmeke et al.,
        ICASSP 2017).
    """
    # Not above: a model of one label is measured without it.
    from sklearn.metrics import average_precision_score

    truth = np.concatenate([clip.active(len(labels))[0] for clip in clips])  # [N, C]
    scores = np.concatenate(
        [as_probabilities(predicted[clip.video], labels)[clip.valid, :-1] for clip in clips]
    )  # [N, C]
    found: list[float | int | None] = []
    for index, name in enumerate(labels.names):
        value = None
        if truth[:, index].any():
            value = float(average_precision_score(truth[:, index], scores[:, index]))
        per_class[name]["average_precision"] = value
        found.append(value)
    mean = mean_of(found)
    if MACRO not in labels:
        per_class[MACRO]["average_precision"] = mean
    return mean
