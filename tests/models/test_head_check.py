from __future__ import annotations

import numpy as np
import pytest

from avel_tf.models import ModelSettings, check_head

LABELS = ("Bark", "Church bell")
ONE = np.array([[2, 0, 0, 2], [1, 1, 2, 2], [2, 2, 2, 2]])
SEVERAL = np.array([[0, 0, 2, 1], [1, 1, 2, 2]])
FACTORISED = ModelSettings(head="factorised")


def there(targets: np.ndarray) -> np.ndarray:
    return np.ones(targets.shape[:2], bool)


@pytest.mark.parametrize(
    ("head", "targets"), [("per_second", ONE), ("per_second", SEVERAL), ("factorised", ONE)]
)
def test_a_head_that_represents_the_labels_passes(head: str, targets: np.ndarray) -> None:
    check_head(ModelSettings(head=head), targets, there(targets), LABELS)


def test_several_events_and_one_class_per_clip_are_refused() -> None:
    with pytest.raises(
        ValueError,
        match="1 of 2 training clips .* 'Bark' and 'Church bell'.* Set model.head=per_second",
    ):
        check_head(FACTORISED, SEVERAL, there(SEVERAL), LABELS)


def test_seconds_that_are_not_valid_do_not_count() -> None:
    check_head(FACTORISED, SEVERAL, np.array([[1, 1, 1, 0], [1, 1, 1, 1]], bool), LABELS)


def test_without_names_and_without_clips() -> None:
    with pytest.raises(ValueError, match="class 0 and class 1"):
        check_head(FACTORISED, SEVERAL, there(SEVERAL))
    empty = np.zeros((0, 4), int)
    check_head(FACTORISED, empty, there(empty))


def test_clip_labels_of_weak_supervision() -> None:
    shares = np.repeat(np.array([[[1, 0, 0]], [[0.5, 0.5, 0]]], "float32"), 4, axis=1)
    check_head(FACTORISED, shares[:1], there(shares[:1]), LABELS)
    with pytest.raises(ValueError, match="'Bark' and 'Church bell'"):
        check_head(FACTORISED, shares, there(shares), LABELS)
