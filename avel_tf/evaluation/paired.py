"""Paired bootstrap comparison of two models on the same clips."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from avel_tf.evaluation.bootstrap import drawn_ratios, interval
from avel_tf.evaluation.clip_outcome import ClipOutcome
from avel_tf.evaluation.clip_outcomes import clip_counts
from avel_tf.evaluation.ratios import ratio
from avel_tf.events.labels import Labels

# Enough to resolve p around 0.01.
DRAWS = 10_000


def paired_bootstrap(
    ours: Sequence[ClipOutcome],
    theirs: Sequence[ClipOutcome],
    labels: Labels,
    *,
    seed: int = 0,
    draws: int = DRAWS,
) -> dict[str, Any]:
    """Differences between the metrics of two models, with confidence intervals over clips.

    Each draw has the same clips for both models, so that the difficulty of clips cancels out.

    Args:
        ours: Outcomes of the first model, such as from `read_predictions`.
        theirs: Outcomes of the second model on the same clips.
        labels: The class vocabulary.
        seed: Seed of the draws.
        draws: Number of splits drawn, with replacement.

    Returns:
        `clips`, `draws`, and under `numbers` for each of segment accuracy, segment F1, event F1,
        clip accuracy and background recall: `ours`, `theirs`, `difference` (ours - theirs), its
        `ci95`, and `p`, twice the share of draws in which the difference is zero or has the other
        sign, at most 1. Undefined values are None.

    Raises:
        ValueError: If the clips or their references differ.

    Example:
        >>> paired_bootstrap(ours, theirs, labels)["numbers"]["segment_accuracy"]["ci95"]
        [0.012, 0.034]

    Reference:
        Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapters 8 and 16.
    """
    first, second = _in_pairs(ours, theirs)
    counts = [clip_counts(clips, labels) for clips in (first, second)]
    drawn = [drawn_ratios(one, seed=seed, draws=draws) for one in counts]
    numbers = {}
    for name in counts[0]:
        values = [ratio(part.sum(), whole.sum()) for part, whole in (one[name] for one in counts)]
        given = [one[name] for one in drawn]
        difference = None if None in values else values[0] - values[1]  # type: ignore[operator]
        gaps = None if any(each is None for each in given) else given[0] - given[1]  # type: ignore[operator]
        numbers[name] = {
            "ours": values[0],
            "theirs": values[1],
            "difference": difference,
            "ci95": None if gaps is None else interval(gaps),
            "p": None if gaps is None else _two_sided(gaps),
        }
    return {"clips": len(first), "draws": draws, "numbers": numbers}


def _two_sided(differences: np.ndarray) -> float:
    """Two-sided p-value; the observed split counts as one more draw."""
    known = differences[~np.isnan(differences)]
    tail = min((known <= 0).sum(), (known >= 0).sum())
    return float(min(1.0, 2 * (tail + 1) / (len(known) + 1)))


def _in_pairs(
    ours: Sequence[ClipOutcome], theirs: Sequence[ClipOutcome]
) -> tuple[list[ClipOutcome], list[ClipOutcome]]:
    first, second = ({clip.video: clip for clip in clips} for clips in (ours, theirs))
    alone = sorted(first.keys() ^ second.keys())
    if alone:
        raise ValueError(
            "Paired comparison requires the same clips for both models. Received: "
            f"{len(alone)} clips with a prediction of only one model, such as {alone[0]!r}."
        )
    names = sorted(first)
    for name in names:
        if not np.array_equal(first[name].reference, second[name].reference):
            raise ValueError(
                f"The reference of {name!r} differs between the models. Evaluate both on the same "
                "data set with the same annotations."
            )
    return [first[name] for name in names], [second[name] for name in names]
