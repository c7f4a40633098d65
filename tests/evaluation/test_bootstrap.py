from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import bootstrap

from avel_tf.evaluation import bootstrap as module
from avel_tf.evaluation.bootstrap import ratio_ci95


def clips(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Right and all segments of clips that differ in length and in difficulty."""
    generator = np.random.default_rng(seed)
    segments = generator.integers(5, 15, count)
    return generator.binomial(segments, generator.beta(3, 1, count)), segments


def test_agrees_with_scipy() -> None:
    right, segments = clips(150)
    theirs = bootstrap(
        (right, segments),
        lambda one, all_of_them, axis: one.sum(axis=axis) / all_of_them.sum(axis=axis),
        paired=True,
        vectorized=True,
        method="percentile",
        n_resamples=4000,
        rng=np.random.default_rng(1),
    ).confidence_interval
    ours = ratio_ci95(right, segments, draws=4000)
    # Four standard deviations of an end at 4,000 draws (see DRAWS).
    assert ours == pytest.approx(list(theirs), abs=0.05 * (theirs.high - theirs.low))


def test_holds_the_truth_nineteen_times_in_twenty() -> None:
    # The accuracy of all such clips is the mean of beta(3, 1).
    caught = 0
    for trial in range(300):
        generator = np.random.default_rng(trial)
        right = generator.binomial(10, generator.beta(3, 1, 200))
        low, high = ratio_ci95(right, np.full(200, 10), seed=trial, draws=1000)
        caught += low <= 0.75 <= high
    # Five standard deviations of a share of 0.95 among 300 trials.
    assert caught / 300 == pytest.approx(0.95, abs=0.063)


def test_draws_clips_and_not_segments() -> None:
    whole = np.repeat([0, 10], 20)
    low, high = ratio_ci95(whole, np.full(40, 10))
    single = np.repeat([0, 1], 200)
    low_single, high_single = ratio_ci95(single, np.ones(400))
    # Ten seconds that stand or fall together say no more than one: sqrt(10) times the width.
    assert (high - low) / (high_single - low_single) == pytest.approx(10**0.5, rel=0.1)


def test_same_seed_same_interval_however_it_is_cut_up(monkeypatch: pytest.MonkeyPatch) -> None:
    right, segments = clips(30)
    at_once = ratio_ci95(right, segments, seed=7)
    assert at_once == ratio_ci95(right, segments, seed=7)
    assert at_once != ratio_ci95(right, segments, seed=8)
    monkeypatch.setattr(module, "PICKS_AT_ONCE", 100)
    assert at_once == ratio_ci95(right, segments, seed=7)


def test_one_clip_has_no_interval() -> None:
    assert ratio_ci95([7], [10]) is None
    assert ratio_ci95([], []) is None
    assert ratio_ci95([0, 0], [0, 0]) is None


def test_a_clip_without_a_valid_second_is_no_trouble() -> None:
    low, high = ratio_ci95([5, 0], [10, 0])
    assert low == high == 0.5
