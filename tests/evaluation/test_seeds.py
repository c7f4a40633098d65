from __future__ import annotations

import json
import statistics

import numpy as np
import pytest

from avel_tf.evaluation.metrics import evaluate
from avel_tf.evaluation.seeds import HEADLINE, aggregate_seeds
from avel_tf.events.labels import Labels

LABELS = Labels(["Bark", "Cat"])


def run(seed: int, clips: int = 20) -> dict:
    """The metrics of a training with this seed, on a split that is always the same."""
    split, errors = np.random.default_rng(99), np.random.default_rng(seed)
    truth = {str(number): split.integers(0, 3, 10) for number in range(clips)}
    guess = {name: np.where(errors.random(10) < 0.8, clip, 2) for name, clip in truth.items()}
    return evaluate(
        truth,
        guess,
        LABELS,
        train_counts=np.array([1, 2, 3]),
        skipped=[{"video": "x", "reason": "It is empty."}],
    )


def test_mean_and_standard_deviation() -> None:
    runs = [run(seed) for seed in range(3)]
    metrics = aggregate_seeds(runs)
    assert metrics["seeds"] == 3
    for key in HEADLINE:
        values = [one[key] for one in runs]
        assert metrics[key] == pytest.approx(statistics.mean(values))
        assert metrics["standard_deviation"][key] == pytest.approx(statistics.stdev(values))
    assert metrics["per_class"]["Cat"]["recall"] == pytest.approx(
        statistics.mean(one["per_class"]["Cat"]["recall"] for one in runs)
    )
    assert np.sum(metrics["confusion"]) == pytest.approx(metrics["segments"])
    assert metrics["segment_accuracy_ci95"][1] == pytest.approx(
        statistics.mean(one["segment_accuracy_ci95"][1] for one in runs)
    )
    json.dumps(metrics, allow_nan=False)


def test_properties_of_the_split_are_not_averaged() -> None:
    first = run(0)
    metrics = aggregate_seeds([first, run(1)])
    assert list(metrics) == [*first, "seeds", "standard_deviation"]
    for key in ("segments", "videos", "skipped", "baselines"):
        assert metrics[key] == first[key]
    assert isinstance(metrics["per_class"]["Bark"]["support"], int)


def test_one_seed_has_no_deviation() -> None:
    metrics = aggregate_seeds([run(0)])
    assert metrics["standard_deviation"] == dict.fromkeys([*HEADLINE, "ece"])
    first = run(0)
    assert {key: metrics[key] for key in first} == first | {"decoder": [first["decoder"]]}


def test_the_mean_is_over_the_seeds_that_have_a_value() -> None:
    one, other, third = run(0), run(1), run(2)
    other["onset_error_s"] = None
    metrics = aggregate_seeds([one, other, third])
    assert metrics["onset_error_s"] == pytest.approx(
        (one["onset_error_s"] + third["onset_error_s"]) / 2
    )
    one["onset_error_s"] = third["onset_error_s"] = None
    assert aggregate_seeds([one, other, third])["onset_error_s"] is None


def test_another_split_or_none_is_refused() -> None:
    with pytest.raises(ValueError, match="Received: segments=100 for run 1"):
        aggregate_seeds([run(0), run(0, clips=10)])
    with pytest.raises(ValueError, match="at least one seed"):
        aggregate_seeds([])
    renamed = run(0)
    renamed["per_class"]["Wolf"] = renamed["per_class"].pop("Bark")
    with pytest.raises(ValueError, match="other classes for run 1"):
        aggregate_seeds([run(0), renamed])
