from __future__ import annotations

import numpy as np
import pytest

from avel_tf.models import ModelSettings, resolve_head

LABELS = ("Bark", "Church bell")
ONE = np.array([[2, 0, 0, 2], [1, 1, 2, 2], [2, 2, 2, 2]])
SEVERAL = np.array([[0, 0, 2, 1], [1, 1, 2, 2]])


def resolved(head: str, targets: np.ndarray, valid: np.ndarray | None = None) -> str:
    valid = np.ones(targets.shape, bool) if valid is None else valid
    return resolve_head(ModelSettings(head=head), targets, valid, LABELS).head


def test_auto_chooses_by_the_data() -> None:
    assert resolved("auto", ONE) == "factorised"
    assert resolved("auto", SEVERAL) == "per_second"


def test_what_is_asked_for_stays() -> None:
    assert resolved("per_second", ONE) == resolved("per_second", SEVERAL) == "per_second"
    assert resolved("factorised", ONE) == "factorised"


def test_several_events_and_one_class_per_clip_are_refused() -> None:
    with pytest.raises(
        ValueError,
        match="1 of 2 training clips .* 'Bark' and 'Church bell'.* Set model.head=per_second",
    ):
        resolved("factorised", SEVERAL)


def test_seconds_that_are_not_valid_do_not_count() -> None:
    assert resolved("factorised", SEVERAL, np.array([[1, 1, 1, 0], [1, 1, 1, 1]], bool))


def test_without_names_and_without_clips() -> None:
    with pytest.raises(ValueError, match="class 0 and class 1"):
        resolve_head(ModelSettings(head="factorised"), SEVERAL, np.ones((2, 4), bool))
    empty = np.zeros((0, 4), int)
    assert resolve_head(ModelSettings(head="auto"), empty, empty.astype(bool)).head == "factorised"


def test_clip_labels_of_weak_supervision() -> None:
    shares = np.repeat(np.array([[[1, 0, 0]], [[0.5, 0.5, 0]]], "float32"), 4, axis=1)
    assert resolved("auto", shares, np.ones((2, 4), bool)) == "per_second"
    assert resolved("auto", shares[:1], np.ones((1, 4), bool)) == "factorised"
