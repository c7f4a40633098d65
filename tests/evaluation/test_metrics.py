from __future__ import annotations

import json
import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avel_tf.evaluation.metrics import MACRO, evaluate
from avel_tf.events.labels import Labels

LABELS = Labels(["Bark", "Cat, meow", "Flute"])
COUNTS = np.array([3, 9, 1, 50])

# What the design promises of metrics.json, no more and no less.
KEYS = [
    "segments",
    "segment_accuracy",
    "segment_accuracy_ci95",
    "segment_f1",
    "event_f1",
    "event_f1_ci95",
    "event_map",
    "event_map_by_iou",
    "background_recall",
    "onset_error_s",
    "offset_error_s",
    "clip_accuracy",
    "clip_accuracy_ci95",
    "clips_with_events",
    "plain_events",
    "decoder",
    "calibration",
    "per_class",
    "confusion",
    "baselines",
    "videos",
    "skipped",
]
SHARES = (
    *("segment_accuracy", "segment_f1", "event_f1", "background_recall"),
    *("event_map", "clip_accuracy"),
)
INTERVALS = ("segment_accuracy_ci95", "event_f1_ci95", "clip_accuracy_ci95")


@st.composite
def splits(draw: st.DrawFn) -> tuple[dict, dict]:
    """True and predicted seconds of up to five clips of up to nine seconds."""
    lengths = draw(st.lists(st.integers(0, 9), max_size=5))
    classes = st.integers(0, LABELS.background)

    def clips() -> dict[str, np.ndarray]:
        return {
            f"clip {number}": np.array(
                draw(st.lists(classes, min_size=length, max_size=length)), np.int64
            )
            for number, length in enumerate(lengths)
        }

    return clips(), clips()


def measure(truth: dict, guess: dict, **arguments) -> dict:
    return evaluate(truth, guess, LABELS, train_counts=COUNTS, **arguments)


def leaves(value: object) -> list[object]:
    if isinstance(value, dict):
        value = list(value.values())
    return [leaf for item in value for leaf in leaves(item)] if isinstance(value, list) else [value]


@settings(max_examples=60, deadline=None)
@given(splits())
def test_keys_bounds_and_json(split: tuple[dict, dict]) -> None:
    metrics = measure(*split)
    assert list(metrics) == KEYS
    assert json.loads(json.dumps(metrics, allow_nan=False)) == metrics
    assert all(
        leaf is None or isinstance(leaf, (int, float, str)) and not isinstance(leaf, np.generic)
        for leaf in leaves(metrics)
    )
    for scores in (metrics, *metrics["baselines"].values()):
        assert all(scores[key] is None or 0.0 <= scores[key] <= 1.0 for key in SHARES)
    assert (
        metrics["segments"] == sum(map(len, split[0].values())) == sum(leaves(metrics["confusion"]))
    )
    for low, high in (metrics[key] for key in INTERVALS if metrics[key]):
        assert 0.0 <= low <= high <= 1.0
    assert list(metrics["per_class"]) == [*LABELS.names, MACRO]


@settings(max_examples=60, deadline=None)
@given(splits(), st.randoms(use_true_random=False))
def test_order_of_the_clips_changes_nothing(split: tuple[dict, dict], random) -> None:
    names = list(split[0])
    random.shuffle(names)
    shuffled = [{name: side[name] for name in names} for side in split]
    assert json.dumps(measure(*split)) == json.dumps(measure(*shuffled))


@settings(max_examples=60, deadline=None)
@given(splits(), st.permutations(range(len(LABELS))))
def test_order_of_the_classes_changes_no_number(split: tuple[dict, dict], order: list) -> None:
    relabelled = Labels([LABELS.name(order.index(index)) for index in range(len(LABELS))])
    mapping = np.array([*order, LABELS.background])
    moved = [{name: mapping[clip] for name, clip in side.items()} for side in split]
    before, after = measure(*split), evaluate(*moved, relabelled, train_counts=None)
    for key in (*SHARES, "onset_error_s", "offset_error_s", *INTERVALS):
        # Where two classes of a clip are equally frequent, the clip is called by the first.
        if not key.startswith("clip_accuracy"):
            assert before[key] == pytest.approx(after[key])
    for name in LABELS.names:
        assert before["per_class"][name] == after["per_class"][name]


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(splits())
def test_swapping_the_sides_keeps_f1(split: tuple[dict, dict]) -> None:
    one, other = measure(*split), measure(*reversed(split))
    for key in ("segment_accuracy", "segment_f1", "event_f1"):
        assert one[key] == pytest.approx(other[key])
    assert np.array_equal(one["confusion"], np.transpose(other["confusion"]))
    for name in LABELS.names:
        assert one["per_class"][name]["precision"] == other["per_class"][name]["recall"]


@settings(max_examples=60, deadline=None)
@given(splits())
def test_a_perfect_prediction(split: tuple[dict, dict]) -> None:
    metrics = measure(split[0], split[0])
    assert all(metrics[key] in (None, 1.0) for key in SHARES)
    assert metrics["onset_error_s"] in (None, 0.0)
    assert metrics["offset_error_s"] in (None, 0.0)
    has_event = any((clip != LABELS.background).any() for clip in split[0].values())
    assert (metrics["event_f1"] == 1.0) is has_event


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(splits(), st.data())
def test_invalid_segments_at_the_end_change_nothing(split, data) -> None:
    keep = {name: data.draw(st.integers(0, len(clip))) for name, clip in split[0].items()}
    valid = {name: np.arange(len(clip)) < keep[name] for name, clip in split[0].items()}
    cut = [{name: clip[: keep[name]] for name, clip in side.items()} for side in split]
    masked, shorter = measure(*split, valid=valid), measure(*cut)
    # The clip's own class may stand in the part that was cut off.
    masked["baselines"].pop("right_class_everywhere")
    shorter["baselines"].pop("right_class_everywhere")
    assert masked == shorter


def test_numbers_of_a_small_split() -> None:
    truth = {"a": np.array([3, 0, 0, 0, 3]), "b": np.array([1, 1, 3, 3, 3])}
    guess = {"a": np.array([3, 3, 0, 0, 0]), "b": np.array([1, 1, 3, 2, 3])}
    metrics = measure(truth, guess, skipped=[{"video": "c", "reason": "It is empty."}])
    assert metrics["segments"] == 10
    assert metrics["videos"] == 2
    assert metrics["segment_accuracy"] == 0.7
    assert metrics["segment_f1"] == pytest.approx(2 * 4 / (5 + 6))
    assert metrics["event_f1"] == pytest.approx(2 * 2 / (2 + 3))
    assert metrics["background_recall"] == pytest.approx(3 / 5)
    assert metrics["onset_error_s"] == 0.5
    assert metrics["offset_error_s"] == 0.5
    assert metrics["confusion"] == [[2, 0, 0, 1], [0, 2, 0, 0], [0, 0, 0, 0], [1, 0, 1, 3]]
    assert metrics["skipped"] == [{"video": "c", "reason": "It is empty."}]
    assert metrics["baselines"]["majority_class"]["segment_accuracy"] == 0.2
    assert metrics["per_class"]["Flute"] == {
        "precision": 0.0,
        "recall": None,
        "f1": 0.0,
        "support": 0,
    }


def test_an_invalid_second_breaks_events_on_both_sides() -> None:
    clip = {"a": np.zeros(5, int)}
    valid = {"a": np.array([True, True, False, True, True])}
    guess = {"a": np.array([0, 0, 0, 3, 3])}
    metrics = measure(clip, guess, valid=valid)
    assert metrics["segments"] == 4
    assert metrics["event_f1"] == pytest.approx(2 / 3)


def test_without_a_training_split_there_is_no_majority() -> None:
    clip = {"a": np.array([0, 3])}
    assert evaluate(clip, clip, LABELS, train_counts=None)["baselines"]["majority_class"] is None


def test_seed_moves_the_interval_only() -> None:
    generator = np.random.default_rng(0)
    truth = {str(number): generator.integers(0, 4, 10) for number in range(40)}
    guess = {name: np.where(generator.random(10) < 0.7, clip, 3) for name, clip in truth.items()}
    one, other = measure(truth, guess, seed=1), measure(truth, guess, seed=2)
    for key in INTERVALS:
        assert one.pop(key) != other.pop(key) or key == "clip_accuracy_ci95"
    assert one == other


@pytest.mark.parametrize(
    ("truth", "guess", "sentence"),
    [
        ({"a": [0], "b": [0]}, {"a": [0]}, "no prediction for 1 of them, such as 'b'"),
        ({"a": [0]}, {"a": [0], "b": [0]}, "no reference for 1 of them, such as 'b'"),
        ({"a": [0, 0]}, {"a": [0]}, "of 'a' must have the same number.*Received: 2 and 1"),
        ({"a": [4]}, {"a": [0]}, "reference for 'a'.*0 ... 3.*Received: 4"),
        ({"a": [0]}, {"a": [-1]}, "prediction for 'a'.*Received: -1"),
        ({"a": [0]}, {"a": [[0, 0, 0, np.nan]]}, r"must be in \[0, 1\].*diverged"),
        ({"a": [0]}, {"a": [0.5]}, "integers. Received: dtype=float64"),
        ({"a": [0]}, {"a": [[0]]}, r"or probabilities \[T, 4\].*\(1, 1\)"),
    ],
)
def test_mismatched_clips_are_refused(truth: dict, guess: dict, sentence: str) -> None:
    arrays = [{name: np.array(clip) for name, clip in side.items()} for side in (truth, guess)]
    with pytest.raises(ValueError, match=sentence):
        measure(*arrays)


def test_no_tensorflow_is_needed() -> None:
    code = (
        "import sys, avel_tf.evaluation.metrics, avel_tf.evaluation.seeds, avel_tf.events.formats; "
        "sys.exit(any(name in sys.modules for name in ('tensorflow', 'keras', 'sklearn')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_empty_split_has_no_number() -> None:
    metrics = measure({}, {})
    assert metrics["segments"] == metrics["videos"] == 0
    assert all(metrics[key] is None for key in SHARES)
    assert not any(isinstance(leaf, float) and math.isnan(leaf) for leaf in leaves(metrics))
