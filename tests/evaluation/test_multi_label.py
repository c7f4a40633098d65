"""Metrics of seconds with several labels, against sed_eval, scikit-learn and those of one label."""

from __future__ import annotations

import json
import math

import dcase_util
import numpy as np
import pytest
import sed_eval
from sklearn import metrics as sklearn_metrics

from avel_tf.evaluation.calibration import with_temperature
from avel_tf.evaluation.clip_outcome import ClipOutcome, true_events
from avel_tf.evaluation.clip_outcomes import clip_outcomes
from avel_tf.evaluation.event_metrics import event_scores, within_collars
from avel_tf.evaluation.fitting import CLASS_THRESHOLDS, fit_postprocessing, fit_thresholds
from avel_tf.evaluation.metrics import evaluate
from avel_tf.evaluation.paired import paired_bootstrap
from avel_tf.evaluation.predictions_file import read_predictions, write_predictions
from avel_tf.evaluation.seeds import aggregate_seeds
from avel_tf.evaluation.split_predictions import SplitPredictions
from avel_tf.evaluation.summary import summary
from avel_tf.events.labels import Labels
from avel_tf.events.postprocessing import Postprocessing

LABELS = Labels(["Bark", "Flute", "Clock", "Truck"])
HALF = (0.5,) * len(LABELS)


def split(seed: int, clips: int = 6) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Truth bool [T, C] of clips, and probabilities that know something of it."""
    rng = np.random.default_rng(seed)
    truth, found = {}, {}
    for number in range(clips):
        seconds = int(rng.integers(2, 15))
        # The last class never occurs where the seed is even.
        chance = np.array([0.4, 0.3, 0.2, 0.1 * (seed % 2)])
        runs = rng.random((seconds // 3 + 1, 4)) < chance
        active = np.repeat(runs, 3, axis=0)[:seconds]
        odds = 2 * active - 1 + rng.normal(size=active.shape)
        shares = 1 / (1 + np.exp(-odds))
        truth[f"clip {number}"] = active
        found[f"clip {number}"] = np.column_stack([shares, np.prod(1 - shares, axis=1)])
    return truth, found


def as_list(events, name: str) -> dcase_util.containers.MetaDataContainer:
    return dcase_util.containers.MetaDataContainer(
        [
            {"filename": name, "event_label": e.label, "onset": e.start, "offset": e.end}
            for e in events
        ]
    )


def same(ours: float | None, theirs: float) -> None:
    """Equal; what has no value here is NaN or, with nothing to divide, 0 there."""
    if ours is None:
        assert math.isnan(theirs) or theirs == 0
    else:
        assert ours == pytest.approx(theirs, abs=1e-12)


@pytest.mark.parametrize("seed", range(12))
def test_segment_and_event_f1_are_those_of_sed_eval(seed: int) -> None:
    truth, found = split(seed)
    names = list(LABELS.names)
    by_segment = sed_eval.sound_event.SegmentBasedMetrics(names, time_resolution=1.0)
    by_event = sed_eval.sound_event.EventBasedMetrics(
        names, t_collar=1.0, percentage_of_length=0.2, event_matching_type="optimal"
    )
    clips = clip_outcomes(truth, found, LABELS, thresholds=HALF)
    for clip in clips:
        pair = (as_list(clip.true_events, clip.video), as_list(clip.events, clip.video))
        by_segment.evaluate(*pair, evaluated_length_seconds=clip.segments)
        by_event.evaluate(*pair)
    ours = evaluate(
        truth, found, LABELS, train_counts=None, postprocessing=Postprocessing(thresholds=HALF)
    )
    same(ours["segment_f1"], by_segment.overall_f_measure()["f_measure"])
    for name, row in by_segment.results_class_wise_metrics().items():
        assert ours["per_class"][name]["support"] == row["count"]["Nref"]
        # A false alarm of a class that never occurs: no value there, 0 here.
        if row["count"]["Nref"] and row["count"]["Nsys"]:
            for key, theirs in (("f1", "f_measure"), ("precision",) * 2, ("recall",) * 2):
                same(ours["per_class"][name][key], row["f_measure"][theirs])
    scores = event_scores(
        [clip.true_events for clip in clips],
        [clip.events for clip in clips],
        within_collars(1.0, 0.2),
    )
    same(scores.f1, by_event.overall_f_measure()["f_measure"])


@pytest.mark.parametrize("seed", range(6))
def test_averages_are_those_of_scikit_learn(seed: int) -> None:
    truth, found = split(seed)
    ours = evaluate(
        truth, found, LABELS, train_counts=None, postprocessing=Postprocessing(thresholds=HALF)
    )
    active = np.concatenate([truth[name] for name in sorted(truth)])
    shares = np.concatenate([found[name][:, :-1] for name in sorted(truth)])
    there = active.any(axis=0)
    expected = sklearn_metrics.average_precision_score(active[:, there], shares[:, there])
    assert ours["segment_map"] == pytest.approx(expected)
    f1 = sklearn_metrics.f1_score(active, shares >= 0.5, average=None, zero_division=np.nan)
    same(ours["segment_f1_macro"], float(np.nanmean(f1)))
    exact = sklearn_metrics.accuracy_score(active, shares >= 0.5)
    assert ours["segment_accuracy"] == pytest.approx(exact)
    assert (ours["per_class"]["Truck"]["average_precision"] is None) == (not there[3])


def test_one_label_each_gives_the_numbers_of_one_label() -> None:
    """The same certain predictions, written as classes and as sets of classes."""
    rng = np.random.default_rng(0)
    truth = {str(n): rng.integers(0, 5, 8) for n in range(5)}
    guess = {name: np.where(rng.random(8) < 0.7, one, 4) for name, one in truth.items()}

    def sets(given: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {name: one[:, None] == np.arange(4) for name, one in given.items()}

    counts = np.array([5, 9, 2, 1, 20])
    one = evaluate(truth, guess, LABELS, train_counts=counts)
    several = evaluate(
        sets(truth),
        sets(guess),
        LABELS,
        train_counts=counts,
        postprocessing=Postprocessing(thresholds=HALF),
    )
    for key in ("segments", "segment_accuracy", "segment_accuracy_ci95", "segment_f1", "event_f1",
                "event_map", "background_recall", "onset_error_s", "videos"):  # fmt: skip
        assert several[key] == one[key], key
    for name in LABELS.names:
        row = several["per_class"][name]
        assert {key: row[key] for key in one["per_class"][name]} == one["per_class"][name]
    assert several["confusion"] is None
    for name in ("all_background", "majority_class"):
        # Of several labels any class of a clip is right, not only the most frequent one.
        expected = {k: v for k, v in one["baselines"][name].items() if k != "clip_accuracy"}
        assert {key: several["baselines"][name][key] for key in expected} == expected


def test_every_class_everywhere_is_the_ceiling_of_recall() -> None:
    truth, found = split(1)
    ours = evaluate(
        truth,
        found,
        LABELS,
        train_counts=np.ones(5),
        postprocessing=Postprocessing(thresholds=HALF),
    )
    counted = sum(one.any(axis=0).sum() * len(one) for one in truth.values())
    right = sum(one.sum() for one in truth.values())
    value = ours["baselines"]["right_class_everywhere"]["segment_f1"]
    assert value == pytest.approx(2 * right / (right + counted))
    json.dumps(ours, allow_nan=False)
    assert "average precision" in summary({"split": "test", **ours})


def test_true_events_are_the_runs_of_each_class() -> None:
    active = np.zeros((5, 4), bool)
    active[0:3, 0], active[2:5, 1], active[4, 0] = True, True, True
    events = true_events(active, np.array([1, 1, 1, 0, 1], bool), LABELS)
    assert [(e.label, e.start, e.end) for e in events] == [
        ("Bark", 0, 3), ("Flute", 2, 3), ("Bark", 4, 5), ("Flute", 4, 5),
    ]  # fmt: skip


def test_predictions_of_several_labels_survive_their_file(tmp_path) -> None:
    truth, found = split(3)
    clips = clip_outcomes(truth, found, LABELS, thresholds=HALF)
    write_predictions(tmp_path, clips, LABELS)
    again = read_predictions(tmp_path / "predictions.jsonl", LABELS)
    assert [clip.to_record(LABELS) for clip in again] == [clip.to_record(LABELS) for clip in clips]
    assert all(isinstance(clip, ClipOutcome) and clip.multi_label for clip in again)
    difference = paired_bootstrap(again, clips, LABELS, draws=50)["numbers"]["segment_f1"]
    assert difference["difference"] == 0


def test_thresholds_have_the_best_f1_of_their_class() -> None:
    truth, found = split(5, clips=20)
    active = np.concatenate(list(truth.values()))
    shares = np.concatenate(list(found.values()))[:, :-1]
    fitted = fit_thresholds(shares, active)
    for index, threshold in enumerate(fitted):
        values = {
            each: sklearn_metrics.f1_score(active[:, index], shares[:, index] >= each)
            for each in CLASS_THRESHOLDS
        }
        assert values[threshold] == pytest.approx(max(values.values()))
    nothing = fit_thresholds(shares, np.zeros_like(active))
    assert nothing == HALF


def test_the_fitted_temperature_undoes_a_given_one() -> None:
    truth, found = split(7, clips=40)
    sharp = {name: with_temperature(one, 1 / 3, multi_label=True) for name, one in found.items()}

    def fitted(probabilities: dict[str, np.ndarray]) -> Postprocessing:
        return fit_postprocessing(
            SplitPredictions("validation", LABELS, truth, probabilities, None, None, [])
        )

    plain, sharpened = fitted(found), fitted(sharp)
    assert sharpened.temperature == pytest.approx(3 * plain.temperature, rel=0.02)
    assert plain.thresholds is not None and plain.fitted_on == "validation"
    np.testing.assert_allclose(sharpened.thresholds, plain.thresholds, atol=2 / 64)


def test_seeds_of_several_labels_have_a_mean() -> None:
    runs = [
        evaluate(*split(1)[:1], split(1)[1], LABELS, train_counts=None,
                 postprocessing=Postprocessing(thresholds=HALF))
        for _ in range(2)
    ]  # fmt: skip
    mean = aggregate_seeds(runs)
    assert mean["segment_map"] == pytest.approx(runs[0]["segment_map"])
    assert mean["standard_deviation"]["segment_f1_macro"] == 0 and mean["confusion"] is None


def test_one_label_can_be_held_against_several() -> None:
    truth, _ = split(1)
    certain = {
        name: np.eye(5)[np.where(one.any(1), one.argmax(1), 4)] for name, one in truth.items()
    }
    ours = evaluate(truth, certain, LABELS, train_counts=None)
    first = sum(one.any(axis=1).sum() for one in truth.values())
    every = sum(one.sum() for one in truth.values())
    assert ours["segment_f1"] == pytest.approx(2 * first / (first + every))
    assert ours["calibration"] is None
