"""All pieces together: chance that seed, epoch and step decide alone."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import pytest
import tensorflow as tf

from avel_tf.features.examples import Examples
from avel_tf.training.augmentation.augmentation import Augmentation, Statistics
from avel_tf.training.augmentation.settings import AugmentationSettings
from tests.training.augmentation.batches import CLASSES

ALL = AugmentationSettings(
    cross_modal_mixup=0.3, mixup=0.4, modality_dropout=0.3, feature_noise=0.2
)
STATISTICS = {
    "visual": Statistics(np.full(3, 7, "float32"), np.full(3, 2, "float32")),
    "audio": Statistics(np.full(2, -7, "float32"), np.full(2, 3, "float32")),
}
ELEMENTS = ("visual", "audio", "valid", "targets", "weights")


@pytest.fixture(scope="module")
def examples() -> Examples:
    rng = np.random.default_rng(0)
    return Examples(
        rng.normal(size=(21, 4, 3)).astype("float32"),
        rng.normal(size=(21, 4, 2)).astype("float16"),
        rng.random((21, 4)) < 0.9,
        rng.integers(CLASSES + 1, size=(21, 4)),
    )


def epochs(
    examples: Examples,
    settings: AugmentationSettings | None = ALL,
    *,
    seed: int = 3,
    first: int = 0,
    statistics: dict[str, Statistics] = STATISTICS,
) -> list[dict[str, np.ndarray]]:
    """Three epochs of three batches."""
    augment = Augmentation(settings, CLASSES, statistics) if settings else None
    found = examples.batches(8, seed=seed, first_epoch=first, epochs=3, augment=augment)
    return [
        {**inputs, "targets": targets, "weights": weights}
        for inputs, targets, weights in found.as_numpy_iterator()
    ]


def assert_same(one: list[dict[str, np.ndarray]], other: list[dict[str, np.ndarray]]) -> None:
    assert len(one) == len(other) > 0
    for a, b in zip(one, other, strict=True):
        for name in ELEMENTS:
            np.testing.assert_array_equal(a[name], b[name], err_msg=name)


def test_the_same_batches_whatever_ran_before(examples):
    first = epochs(examples)
    tf.random.set_seed(99)
    tf.random.normal([3])
    assert_same(first, epochs(examples))


@pytest.mark.slow
@pytest.mark.parametrize("first", [1, 2])
def test_a_resumed_run_meets_the_tail_of_the_whole(examples, first):
    assert_same(epochs(examples)[3 * first :], epochs(examples, first=first))


def test_no_two_steps_or_epochs_or_seeds_draw_alike(examples):
    noise = AugmentationSettings(feature_noise=0.2)
    plain, noisy = epochs(examples, None), epochs(examples, noise)
    # The first windows of two batches of equal size.
    drawn = [b["visual"][:5] - a["visual"][:5] for a, b in zip(plain, noisy, strict=True)]
    other = epochs(examples, noise, seed=4)[0]["visual"][:5]
    drawn.append(other - epochs(examples, None, seed=4)[0]["visual"][:5])
    for number, one in enumerate(drawn):
        for another in drawn[:number]:
            assert abs(np.nanmax(np.abs(one - another))) > 0.1


@pytest.mark.slow
@pytest.mark.parametrize("left_out", list(asdict(ALL)))
def test_a_piece_draws_the_same_whatever_the_others_do(examples, left_out):
    """Switching one off is an ablation of that one alone."""
    only = {left_out: getattr(ALL, left_out)}
    one = epochs(examples, AugmentationSettings(**only))
    stronger = {name: 1e-9 for name in asdict(ALL) if name != left_out}
    # Pieces so weak that they round to nothing, but draw their numbers.
    stronger["mixup"] = ALL.mixup if left_out == "mixup" else 0.0
    other = epochs(examples, AugmentationSettings(**{**stronger, **only}))
    for a, b in zip(one, other, strict=True):
        np.testing.assert_allclose(a["visual"], b["visual"], atol=1e-5)
        np.testing.assert_allclose(a["audio"], b["audio"], atol=1e-5)


def test_nothing_is_done_where_nothing_is_set(examples):
    assert not Augmentation(AugmentationSettings(), CLASSES, STATISTICS)
    assert epochs(examples, None)[0]["targets"].ndim == 2


@pytest.mark.parametrize("seen", ["visual", "audio"])
def test_a_model_of_one_sense_is_not_taught_what_it_cannot_know(examples, seen):
    only = {seen: STATISTICS[seen]}
    both = replace(ALL, mixup=0.0, feature_noise=0.0)
    assert not Augmentation(both, CLASSES, only)
    plain = epochs(examples, AugmentationSettings(feature_noise=0.2), statistics=only)
    assert_same(plain, epochs(examples, replace(ALL, mixup=0.0), statistics=only))


def test_weights_follow_what_is_valid(examples):
    for batch in epochs(examples):
        np.testing.assert_array_equal(batch["weights"], batch["valid"].astype("float32"))
        assert batch["targets"].shape[2:] == (CLASSES + 1,)
        np.testing.assert_allclose(batch["targets"].sum(-1), 1, atol=1e-5)
