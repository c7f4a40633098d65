from __future__ import annotations

import numpy as np
import pytest

from avel_tf.evaluation.baselines import all_background, majority_class, right_class_everywhere
from avel_tf.evaluation.metrics import evaluate
from avel_tf.events.labels import AVE_CLASSES, Labels

LABELS = Labels(["Bark", "Cat", "Flute"])


def test_all_background() -> None:
    np.testing.assert_array_equal(all_background(np.array([0, 1, 3]), LABELS), [3, 3, 3])


def test_majority_class_is_an_event_even_if_background_is_more() -> None:
    counts = np.array([2, 7, 7, 100])
    np.testing.assert_array_equal(majority_class(np.zeros(2, int), LABELS, counts), [1, 1])


def test_majority_class_of_a_training_split_without_events() -> None:
    counts = np.array([0, 0, 0, 9])
    np.testing.assert_array_equal(majority_class(np.zeros(2, int), LABELS, counts), [3, 3])


def test_counts_without_the_background_are_refused() -> None:
    with pytest.raises(ValueError, match=r"shape \(4,\). Received: shape=\(3,\)"):
        majority_class(np.zeros(2, int), LABELS, np.array([1, 2, 3]))


@pytest.mark.parametrize(
    ("clip", "expected"), [([3, 2, 3, 3], 2), ([3, 3], 3), ([1, 0, 0], 0), ([1, 0], 0)]
)
def test_right_class_everywhere(clip: list[int], expected: int) -> None:
    np.testing.assert_array_equal(
        right_class_everywhere(np.array(clip), LABELS), [expected] * len(clip)
    )


def test_on_the_test_split_of_ave(shared) -> None:
    """The two shares that the literature gives for AVE: 17.8 % and 82.2 %."""
    labels = Labels(AVE_CLASSES)

    def split(name: str) -> list[tuple[str, np.ndarray]]:
        lines = (shared / "ave" / name).read_text(encoding="utf-8").splitlines()
        clips = []
        for label, video, _, start, end in (line.split("&") for line in lines if line):
            seconds = np.full(10, labels.background)
            seconds[int(start) : int(end)] = labels.index(label)
            clips.append((video, seconds))
        return clips

    reference = dict(split("testSet.txt"))
    train_counts = np.bincount(
        np.concatenate([seconds for _, seconds in split("trainSet.txt")]), minlength=29
    )
    baselines = evaluate(reference, reference, labels, train_counts=train_counts)["baselines"]

    assert len(reference) == 402
    assert baselines["all_background"]["segment_accuracy"] == pytest.approx(0.178, abs=5e-4)
    assert baselines["all_background"]["event_f1"] == 0.0
    everywhere = baselines["right_class_everywhere"]
    assert everywhere["segment_accuracy"] == pytest.approx(0.822, abs=5e-4)
    assert everywhere["background_recall"] == 0.0
    assert baselines["majority_class"]["segment_accuracy"] < 0.06
