"""Bootstrap confidence intervals over clips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

# What each clip adds to a numerator and to a denominator, [V] each.
Counts = tuple[Sequence[float] | np.ndarray, Sequence[float] | np.ndarray]

# On 402 clips the ends of the interval move from seed to seed by 1.6 % of its width (one standard
# deviation, measured over 50 seeds). Efron and Tibshirani ask for 1,000 draws or more.
DRAWS = 2_000
CONFIDENCE = 0.95

# Picks that are held in memory at once (8 bytes each): a split of any size fits.
PICKS_AT_ONCE = 4_000_000


def ratio_ci95(
    part: Sequence[float] | np.ndarray,
    whole: Sequence[float] | np.ndarray,
    seed: int = 0,
    draws: int = DRAWS,
) -> list[float] | None:
    """95 % interval of a ratio of sums over clips, by drawing whole clips again and again.

    Clips are drawn, not segments: the seconds of one clip are right or wrong together, and
    drawing them one by one would give an interval that is far too narrow.

    Args:
        part: What each clip adds to the numerator, as the number of right segments, `[V]`.
        whole: What it adds to the denominator, as the number of its segments, `[V]`.
        seed: Seed of the draws; ratios of the same clips and seed are of the same draws.
        draws: How often a split of as many clips is drawn, with replacement.

    Returns:
        The 2.5 % and the 97.5 % percentile of the ratio over the draws, or None for fewer than
        two clips.

    Reference:
        Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13 (the percentile
        interval) and chapter 8 (drawing the units that are independent).
    """
    ratios = drawn_ratios({"ratio": (part, whole)}, seed=seed, draws=draws)["ratio"]
    return None if ratios is None else interval(ratios)


def drawn_ratios(
    counts: Mapping[str, Counts], *, seed: int, draws: int
) -> dict[str, np.ndarray | None]:
    """Ratios of sums over clips, for splits that are drawn from the clips with replacement.

    Args:
        counts: By name what each clip adds to the numerator and to the denominator, `[V]` each,
            all of the same clips in the same order.
        seed: Seed of the draws, which are the same for all names.
        draws: How many splits of as many clips are drawn.

    Returns:
        By name float `[draws]`, NaN where the drawn clips have no denominator; None for fewer than
        two clips or where no clip has one.
    """
    arrays = {name: np.asarray(pair, np.float64) for name, pair in counts.items()}  # [2, V]
    clips = max((pair.shape[1] for pair in arrays.values()), default=0)
    generator = np.random.default_rng(seed)
    found: dict[str, list[np.ndarray]] = {
        name: [] for name, (_, whole) in arrays.items() if clips > 1 and whole.sum()
    }
    at_once = max(1, PICKS_AT_ONCE // max(clips, 1))
    for first in range(0, draws if found else 0, at_once):
        picks = generator.integers(clips, size=(min(at_once, draws - first), clips))  # [draws, V]
        for name, ratios in found.items():
            part, whole = (each[picks].sum(axis=1) for each in arrays[name])  # [draws]
            # A draw of clips without any valid second has no accuracy.
            ratios.append(part / np.where(whole > 0, whole, np.nan))
    return {name: np.concatenate(found[name]) if name in found else None for name in arrays}


def interval(values: np.ndarray) -> list[float]:
    """The 2.5 % and the 97.5 % percentile of what was drawn, NaN left out.

    Args:
        values: float `[draws]`.
    """
    tail = 100 * (1 - CONFIDENCE) / 2
    return np.nanpercentile(values, [tail, 100 - tail]).tolist()
