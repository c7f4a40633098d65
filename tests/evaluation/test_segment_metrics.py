from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import dcase_util
import numpy as np
import pytest
import sed_eval
from sklearn import metrics as sklearn_metrics

from avel_tf.evaluation.metrics import MACRO, evaluate
from avel_tf.events.labels import Labels
from tests.evaluation.cases import events_of, random_cases

CASES = 200


def same(ours: float | None, theirs: float) -> None:
    """Equal, where no value is None here and NaN there."""
    assert math.isnan(theirs) if ours is None else ours == pytest.approx(theirs, abs=1e-12)


def measured(
    truth: Sequence[np.ndarray], guess: Sequence[np.ndarray], labels: Labels
) -> dict[str, Any]:
    reference = {str(number): clip for number, clip in enumerate(truth)}
    predicted = {str(number): clip for number, clip in enumerate(guess)}
    return evaluate(reference, predicted, labels, train_counts=None)


@pytest.mark.slow
def test_equal_to_scikit_learn() -> None:
    for truth, guess, labels in random_cases(CASES, seed=1):
        reference, predicted = np.concatenate(truth), np.concatenate(guess)
        events = list(range(len(labels)))
        found = measured(truth, guess, labels)
        same(found["segment_accuracy"], sklearn_metrics.accuracy_score(reference, predicted))
        arguments = {"y_true": reference, "y_pred": predicted, "zero_division": np.nan}
        same(
            found["segment_f1"],
            sklearn_metrics.f1_score(**arguments, labels=events, average="micro"),
        )
        same(
            found["background_recall"],
            sklearn_metrics.recall_score(**arguments, labels=[labels.background], average=None)[0],
        )
        rows = found["per_class"]
        for average, names in ((None, labels.names), ("macro", (MACRO,))):
            theirs = sklearn_metrics.precision_recall_fscore_support(
                **arguments, labels=events, average=average
            )
            for key, values in zip(("precision", "recall", "f1"), theirs, strict=False):
                for name, value in zip(names, np.atleast_1d(values), strict=True):
                    same(rows[name][key], value)
        assert [rows[name]["support"] for name in labels.names] == [
            int((reference == index).sum()) for index in events
        ]


@pytest.mark.slow
def test_equal_to_sed_eval() -> None:
    defined = 0
    for truth, guess, labels in random_cases(CASES, seed=2):
        theirs = sed_eval.sound_event.SegmentBasedMetrics(list(labels.names), time_resolution=1.0)
        for clip, one, other in zip(
            truth, events_of(truth, labels), events_of(guess, labels), strict=True
        ):
            theirs.evaluate(as_list(one), as_list(other), evaluated_length_seconds=len(clip))
        found = measured(truth, guess, labels)
        confusion = np.array(found["confusion"])
        assert np.trace(confusion[:-1, :-1]) == theirs.overall["Ntp"]
        assert confusion[:-1].sum() == theirs.overall["Nref"]
        assert confusion[:, :-1].sum() == theirs.overall["Nsys"]
        value = theirs.overall_f_measure()["f_measure"]
        if not math.isnan(value):
            defined += 1
            same(found["segment_f1"], value)
    assert defined > 0.7 * CASES


def as_list(events: tuple) -> dcase_util.containers.MetaDataContainer:
    return dcase_util.containers.MetaDataContainer(
        [{"event_label": e.label, "onset": e.start, "offset": e.end} for e in events]
    )


SHARES = ("segment_accuracy", "segment_f1", "background_recall")


def test_no_denominator_means_no_value() -> None:
    labels = Labels(["Bark", "Cat"])
    nothing = measured([np.zeros(0, int)], [np.zeros(0, int)], labels)
    assert [nothing[name] for name in SHARES] == [None, None, None]
    assert nothing["confusion"] == [[0] * 3] * 3

    silent = measured([np.full(4, 2)], [np.full(4, 2)], labels)
    assert silent["segment_f1"] is None and silent["background_recall"] == 1.0
    nobody = {"precision": None, "recall": None, "f1": None, "support": 0}
    assert silent["per_class"][MACRO] == nobody

    missed = measured([np.zeros(4, int)], [np.full(4, 2)], labels)
    assert missed["segment_f1"] == 0.0
    bark = {"precision": None, "recall": 0.0, "f1": 0.0, "support": 4}
    assert missed["per_class"]["Bark"] == bark
    # A class without true and predicted segments takes no part in the mean.
    assert missed["per_class"][MACRO]["f1"] == 0.0


def test_a_class_may_be_called_like_the_mean() -> None:
    found = measured([np.array([0, 0, 1])], [np.array([0, 1, 1])], Labels([MACRO, "Cat"]))
    assert found["per_class"][MACRO]["support"] == 2
