"""Two models on the same clips."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import bootstrap

from avel_tf.evaluation.clip_outcome import ClipOutcome
from avel_tf.evaluation.clip_outcomes import clip_outcomes
from avel_tf.evaluation.metrics import evaluate
from avel_tf.evaluation.paired import paired_bootstrap
from avel_tf.evaluation.predictions_file import read_predictions, write_predictions
from avel_tf.events.event_postprocessor import EventPostprocessor
from avel_tf.events.labels import Labels
from avel_tf.events.postprocessing import Postprocessing

LABELS = Labels(["Bark", "Cat, meow", "Flute"])
TRUTH = {
    f"clip {number}": np.repeat(np.random.default_rng(number).integers(0, 4, 5), 2)
    for number in range(40)
}


def model(seed: int, skill: float) -> dict[str, np.ndarray]:
    """Probabilities that are right the more often, the greater the skill."""
    generator = np.random.default_rng(seed)
    return {
        name: 0.5 * np.eye(4)[np.where(generator.random(10) < skill, truth, 3)]
        + 0.5 * generator.dirichlet(np.ones(4), 10)
        for name, truth in TRUTH.items()
    }


def outcomes(seed: int, skill: float, **arguments) -> list[ClipOutcome]:
    return clip_outcomes(TRUTH, model(seed, skill), LABELS, **arguments)


def compare(ours: list, theirs: list, **arguments) -> dict:
    return paired_bootstrap(ours, theirs, LABELS, draws=500, **arguments)["numbers"]


@pytest.mark.slow
@settings(max_examples=20)
@given(st.integers(0, 99), st.integers(0, 99), st.integers(0, 9))
def test_nothing_against_itself_and_the_other_way_round(one: int, other: int, seed: int) -> None:
    ours, theirs = outcomes(one, 0.8), outcomes(other, 0.6)
    for number in compare(ours, ours, seed=seed).values():
        assert (number["difference"], number["ci95"], number["p"]) == (0.0, [0.0, 0.0], 1.0)
    there, back = compare(ours, theirs, seed=seed), compare(theirs, ours, seed=seed)
    for name, number in there.items():
        assert number["difference"] == -back[name]["difference"]
        assert number["ci95"] == pytest.approx([-end for end in reversed(back[name]["ci95"])])
        assert number["p"] == back[name]["p"] > 0.0
        assert number["ci95"][0] - 1e-9 <= number["difference"] <= number["ci95"][1] + 1e-9


def test_the_numbers_are_those_of_metrics_json() -> None:
    decoder = EventPostprocessor(min_seconds=2)
    numbers = compare(outcomes(1, 0.8, decoder=decoder), outcomes(2, 0.5))
    one = evaluate(
        TRUTH,
        model(1, 0.8),
        LABELS,
        train_counts=None,
        postprocessing=Postprocessing(events=decoder),
    )
    other = evaluate(TRUTH, model(2, 0.5), LABELS, train_counts=None)
    for name, number in numbers.items():
        assert number["ours"] == pytest.approx(one[name])
        assert number["theirs"] == pytest.approx(other[name])


def test_agrees_with_scipy() -> None:
    ours, theirs = outcomes(1, 0.7), outcomes(2, 0.6)
    right = np.array([[clip.right for clip in clips] for clips in (ours, theirs)])
    expected = bootstrap(
        (right[0], right[1]),
        lambda a, b, axis: (a.sum(axis=axis) - b.sum(axis=axis)) / 400,
        paired=True,
        method="percentile",
        n_resamples=10_000,
        rng=np.random.default_rng(1),
    ).confidence_interval
    found = paired_bootstrap(ours, theirs, LABELS)["numbers"]["segment_accuracy"]["ci95"]
    assert found == pytest.approx(list(expected), abs=0.05 * (expected.high - expected.low))


def test_paired_intervals_are_narrower_than_separate_ones() -> None:
    """One more correct segment in a third of the clips: small compared with the spread of clips."""
    theirs = {
        name: np.where(np.arange(10) < 1 + number % 9, truth, (truth + 1) % 4)
        for number, (name, truth) in enumerate(TRUTH.items())
    }
    better = {
        name: np.where((np.arange(10) == 9) & (number % 3 == 0), TRUTH[name], guess)
        for number, (name, guess) in enumerate(theirs.items())
    }
    ours, others = (clip_outcomes(TRUTH, each, LABELS) for each in (better, theirs))
    number = compare(ours, others)["segment_accuracy"]
    assert number["ci95"][0] > 0.0 and number["p"] < 0.01
    alone = [
        evaluate(TRUTH, each, LABELS, train_counts=None)["segment_accuracy_ci95"]
        for each in (better, theirs)
    ]
    assert alone[0][0] < alone[1][1]


def test_from_files_it_is_the_same(tmp_path) -> None:
    ours = outcomes(
        1, 0.8, decoder=EventPostprocessor(0.6, 0.4, 1, 2), valid={"clip 3": np.arange(10) < 7}
    )
    theirs = outcomes(2, 0.7)
    for name, each in (("a", ours), ("b", theirs)):
        write_predictions(tmp_path / name, each, LABELS)
    read = [read_predictions(tmp_path / name / "predictions.jsonl", LABELS) for name in "ab"]
    assert compare(*read) == compare(ours, theirs)
    # Written again, it is the same to the byte.
    write_predictions(tmp_path / "c", read[0], LABELS)
    first, again = ((tmp_path / name / "predictions.jsonl").read_bytes() for name in "ac")
    assert first == again
    record = json.loads(first.splitlines()[3])
    assert (record["video"], record["segments"]) == ("clip 11", 10)
    assert record["right"] == sum(map(str.__eq__, record["reference"], record["predicted"]))


def test_other_clips_or_another_truth_are_refused() -> None:
    ours = outcomes(1, 0.8)
    with pytest.raises(ValueError, match="1 clips .* such as 'clip 0'"):
        compare(ours, ours[1:])
    changed = {**TRUTH, "clip 5": np.zeros(10, int)}
    theirs = clip_outcomes(changed, model(1, 0.8), LABELS)
    with pytest.raises(ValueError, match="reference of 'clip 5' differs"):
        compare(ours, theirs)


def test_a_line_that_is_no_prediction_is_named(tmp_path) -> None:
    write_predictions(tmp_path, outcomes(1, 0.8)[:2], LABELS)
    path = tmp_path / "predictions.jsonl"
    with pytest.raises(ValueError, match="Line 1 of .*predictions.jsonl is not a prediction"):
        read_predictions(path, Labels(["Dog"]))
    path.write_text(path.read_text() + "{}\n")
    with pytest.raises(ValueError, match="Line 3 of .*KeyError: 'video'"):
        read_predictions(path, LABELS)


def test_a_single_clip_has_no_interval() -> None:
    ours = outcomes(1, 0.8)[:1]
    assert compare(ours, ours)["segment_accuracy"]["ci95"] is None
