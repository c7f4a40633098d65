from __future__ import annotations

import math

import dcase_util
import numpy as np
import pytest
import sed_eval
from sklearn import metrics as sklearn_metrics

from avel_tf.evaluation.segment_metrics import (
    MACRO,
    background_recall,
    confusion_matrix,
    per_class,
    segment_accuracy,
    segment_f1,
)
from avel_tf.events.labels import Labels
from tests.evaluation.cases import events_of, random_cases

CASES = 1000


def same(ours: float | None, theirs: float) -> None:
    """Equal, where no value is None here and NaN there."""
    assert math.isnan(theirs) if ours is None else ours == pytest.approx(theirs, abs=1e-12)


@pytest.mark.slow
def test_equal_to_scikit_learn() -> None:
    for truth, guess, labels in random_cases(CASES, seed=1):
        reference, predicted = np.concatenate(truth), np.concatenate(guess)
        everything, events = list(range(len(labels) + 1)), list(range(len(labels)))
        confusion = confusion_matrix(reference, predicted, labels)

        theirs = sklearn_metrics.confusion_matrix(reference, predicted, labels=everything)
        np.testing.assert_array_equal(confusion, theirs)
        same(segment_accuracy(confusion), sklearn_metrics.accuracy_score(reference, predicted))

        arguments = {"y_true": reference, "y_pred": predicted, "zero_division": np.nan}
        same(
            segment_f1(confusion),
            sklearn_metrics.f1_score(**arguments, labels=events, average="micro"),
        )
        same(
            background_recall(confusion),
            sklearn_metrics.recall_score(**arguments, labels=[labels.background], average=None)[0],
        )
        rows = per_class(confusion, labels)
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


def test_equal_to_sed_eval() -> None:
    defined = 0
    for truth, guess, labels in random_cases(CASES, seed=2):
        theirs = sed_eval.sound_event.SegmentBasedMetrics(list(labels.names), time_resolution=1.0)
        for clip, one, other in zip(
            truth, events_of(truth, labels), events_of(guess, labels), strict=True
        ):
            theirs.evaluate(as_list(one), as_list(other), evaluated_length_seconds=len(clip))
        confusion = confusion_matrix(np.concatenate(truth), np.concatenate(guess), labels)
        assert np.trace(confusion[:-1, :-1]) == theirs.overall["Ntp"]
        assert confusion[:-1].sum() == theirs.overall["Nref"]
        assert confusion[:, :-1].sum() == theirs.overall["Nsys"]
        value = theirs.overall_f_measure()["f_measure"]
        if not math.isnan(value):
            defined += 1
            same(segment_f1(confusion), value)
    assert defined > 0.7 * CASES


def as_list(events: tuple) -> dcase_util.containers.MetaDataContainer:
    return dcase_util.containers.MetaDataContainer(
        [{"event_label": e.label, "onset": e.start, "offset": e.end} for e in events]
    )


def test_no_denominator_means_no_value() -> None:
    labels = Labels(["Bark", "Cat"])
    nothing = confusion_matrix(np.zeros(0, int), np.zeros(0, int), labels)
    assert segment_accuracy(nothing) is segment_f1(nothing) is background_recall(nothing) is None

    silent = confusion_matrix(np.full(4, 2), np.full(4, 2), labels)
    assert segment_f1(silent) is None
    assert background_recall(silent) == 1.0
    assert per_class(silent, labels)[MACRO] == {
        "precision": None,
        "recall": None,
        "f1": None,
        "support": 0,
    }

    missed = confusion_matrix(np.zeros(4, int), np.full(4, 2), labels)
    assert segment_f1(missed) == 0.0
    assert per_class(missed, labels)["Bark"] == {
        "precision": None,
        "recall": 0.0,
        "f1": 0.0,
        "support": 4,
    }
    # A class that neither side knows of takes no part in the mean.
    assert per_class(missed, labels)[MACRO]["f1"] == 0.0


def test_a_class_may_be_called_like_the_mean() -> None:
    labels = Labels([MACRO, "Cat"])
    rows = per_class(confusion_matrix(np.array([0, 0, 1]), np.array([0, 1, 1]), labels), labels)
    assert rows[MACRO]["support"] == 2
