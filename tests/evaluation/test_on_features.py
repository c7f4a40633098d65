"""A localizer measured on a split of a feature store."""

from __future__ import annotations

import os

import numpy as np
import pytest

from avel_tf.evaluation import on_features
from avel_tf.evaluation.on_features import evaluate_features
from avel_tf.features.feature_store import FeatureStore, FeatureStoreError, FeatureStoreWriter
from avel_tf.features.features import Features
from tests.training import stores


def oracle(wrong_last: int = 0):
    """A localizer that reads the class out of the first visual feature."""

    def predict(visual, audio, valid):
        index = visual[..., 0].astype(int)
        if wrong_last:
            index = np.where(np.arange(index.shape[1]) >= index.shape[1] - wrong_last, 0, index)
        return 0.97 * np.eye(4)[index] + 0.0075  # [B, T, C+1]

    return predict


def told(name: str, targets: list[int], valid: list[bool] | None = None) -> stores.Record:
    """A clip that carries its answer, where it is valid."""
    answer = np.array(targets)
    mask = np.array(valid) if valid else np.ones(len(targets), bool)
    visual = np.zeros((len(targets), stores.VISUAL_WIDTH), "float32")
    visual[:, 0] = np.where(mask, answer, 0)
    audio = np.zeros((len(targets), stores.AUDIO_WIDTH), "float32")
    return name, Features(visual, audio, mask), (), answer


def test_a_perfect_localizer(tmp_path):
    store = stores.write_store(
        tmp_path / "features",
        train=[told("t", [0, 0, 3])],
        test=[told("a", [0, 0, 3, 3]), told("b", [3, 1, 1, 2])],
    )
    kept = {}
    metrics = evaluate_features(
        oracle(), store, "test", keep=lambda name, probabilities: kept.update({name: probabilities})
    )
    assert metrics["split"] == "test"
    assert (metrics["videos"], metrics["segments"]) == (2, 8)
    assert metrics["segment_accuracy"] == metrics["event_f1"] == 1.0
    assert kept["b"].argmax(-1).tolist() == [3, 1, 1, 2] and kept["a"].shape == (4, 4)


def test_the_requested_split_is_evaluated(tmp_path):
    store = stores.write_store(
        tmp_path / "features",
        train=[told("t", [0, 3])],
        validation=[told("v", [1, 3, 3])],
        test=[told("a", [0, 3, 3, 3, 3])],
    )
    assert evaluate_features(oracle(), store, "validation")["segments"] == 3
    assert evaluate_features(oracle(), store, "test")["segments"] == 5


def test_seconds_that_are_not_there_are_not_counted(tmp_path):
    hole = told("a", [0, 1, 1, 3], [True, True, False, False])
    store = stores.write_store(tmp_path / "features", test=[hole])
    metrics = evaluate_features(oracle(), store, "test")
    assert metrics["segments"] == 2 and metrics["segment_accuracy"] == 1.0


def test_aves_protocol_counts_all_ten_seconds(tmp_path):
    """Also those behind a file's end, where nothing can be known."""
    hole = told("a", [0, 1, 1, 3], [True, True, False, False])
    with FeatureStoreWriter(
        tmp_path / "features", recipe=stores.RECIPE, labels=stores.LABELS, layout="ave"
    ) as writer:
        writer.write_split("test", [hole], expected=1)
    metrics = evaluate_features(oracle(), FeatureStore(tmp_path / "features"), "test")
    assert metrics["segments"] == 4 and metrics["segment_accuracy"] == 0.5


def test_long_videos_are_labelled_in_windows(tmp_path):
    targets = [int(t) for t in np.random.default_rng(0).integers(0, 4, 25)]
    store = stores.write_store(tmp_path / "features", test=[told("long", targets)])
    lengths = []

    def predict(visual, audio, valid):
        lengths.append(visual.shape[1])
        return oracle()(visual, audio, valid)

    metrics = evaluate_features(predict, store, "test", window_seconds=10, hop_seconds=5)
    assert metrics["segment_accuracy"] == 1.0 and set(lengths) == {10}


def test_a_split_larger_than_memory_gives_the_same_figures(tmp_path, monkeypatch):
    rng = np.random.default_rng(2)
    clips = [told(f"c{n}", [int(t) for t in rng.integers(0, 4, 3 + n)]) for n in range(7)]
    store = stores.write_store(tmp_path / "features", test=clips)
    whole, seen = evaluate_features(oracle(wrong_last=1), store, "test"), []
    monkeypatch.setattr(on_features, "GROUP_SECONDS", 9)
    apart = evaluate_features(
        oracle(wrong_last=1), store, "test", keep=lambda name, _: seen.append(name)
    )
    assert apart == whole and seen == [name for name, *_ in clips]


def test_majority_is_counted_on_the_training_split(tmp_path):
    """Not on the split that is measured: it would be told what nobody can know."""
    store = stores.write_store(
        tmp_path / "features",
        train=[told("t", [1, 1, 1, 3])],
        test=[told("a", [0, 0, 0, 1])],
    )
    metrics = evaluate_features(oracle(), store, "test")
    assert metrics["baselines"]["majority_class"]["segment_accuracy"] == 0.25
    assert metrics["baselines"]["all_background"]["segment_accuracy"] == 0.0


def test_skipped_videos_of_the_split_are_listed(tmp_path):
    with FeatureStoreWriter(
        tmp_path / "features", recipe=stores.RECIPE, labels=stores.LABELS, layout="table"
    ) as writer:
        writer.write_split("test", [told("a", [0, 3])], expected=1)
        writer.skip("broken.mp4", "test", "it is empty")
        writer.skip("other.mp4", "train", "it is empty, too")
    metrics = evaluate_features(oracle(), FeatureStore(tmp_path / "features"), "test")
    assert metrics["skipped"] == [{"video": "broken.mp4", "reason": "it is empty"}]


def test_any_name_a_file_can_have(tmp_path):
    name = os.fsdecode(b"\xff\n.mp4")
    store = stores.write_store(tmp_path / "features", test=[told(name, [0, 3])])
    kept = []
    evaluate_features(oracle(), store, "test", keep=lambda video, _: kept.append(video))
    assert kept == [name]


def test_the_interval_follows_the_seed(tmp_path):
    rng = np.random.default_rng(1)
    clips = [told(f"c{n}", [int(t) for t in rng.integers(0, 4, 4 + n)]) for n in range(12)]
    store = stores.write_store(tmp_path / "features", test=clips)
    one, same, other = (
        evaluate_features(oracle(wrong_last=3), store, "test", seed=seed) for seed in (0, 0, 1)
    )
    assert one == same
    assert one["segment_accuracy"] == other["segment_accuracy"]
    assert one["segment_accuracy_ci95"] != other["segment_accuracy_ci95"]


def test_nothing_to_measure(tmp_path):
    store = stores.write_store(tmp_path / "features", train=[told("t", [0, 3])])
    with pytest.raises(FeatureStoreError, match="'test' of .* has no videos.*--split"):
        evaluate_features(oracle(), store, "test")
    with pytest.raises(FeatureStoreError, match="no split 'tets'"):
        evaluate_features(oracle(), store, "tets")
