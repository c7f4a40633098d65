"""Features on disk: what is written comes back, whole or not at all."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from avel_tf.datasets import Annotation
from avel_tf.embeddings.recipe import AudioRecipe, Recipe, VisualRecipe
from avel_tf.events.labels import Labels
from avel_tf.features import feature_store
from avel_tf.features.feature_store import (
    FeatureStore,
    FeatureStoreError,
    FeatureStoreWriter,
)
from avel_tf.features.features import Features

LABELS = Labels(["Bark", "Church bell"])


def recipe_of(visual_width: int = 3, audio_width: int = 2) -> Recipe:
    return Recipe(
        VisualRecipe("eyes", "aa", frames_per_second=1, size=32, width=visual_width),
        AudioRecipe("ears", "bb", sample_rate=16_000, activation="relu", width=audio_width),
    )


def record(
    name: str, seconds: int, seed: int = 0, widths: tuple[int, int] = (3, 2)
) -> tuple[str, Features, tuple[Annotation, ...], np.ndarray]:
    rng = np.random.default_rng(seed)
    features = Features(
        rng.normal(size=(seconds, widths[0])).astype("float32"),
        rng.normal(size=(seconds, widths[1])).astype("float32"),
        rng.random(seconds) < 0.8,
    )
    return name, features, (Annotation("Bark", 0.0, 1.5),), rng.integers(0, 3, seconds)


def write(
    folder: Path, recipe: Recipe | None = None, dtype: str = "float32", **splits: list
) -> FeatureStore:
    recipe = recipe or recipe_of()
    with FeatureStoreWriter(
        folder, recipe=recipe, labels=LABELS, layout="table", dtype=dtype
    ) as writer:
        for name, records in splits.items():
            writer.write_split(name, records, expected=len(records))
    return FeatureStore(folder)


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    names=st.lists(st.binary(min_size=1, max_size=12), min_size=1, max_size=4, unique=True),
    seconds=st.integers(1, 7),
    widths=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    dtype=st.sampled_from(["float32", "float16"]),
)
def test_what_is_written_comes_back(tmp_path_factory, names, seconds, widths, dtype):
    folder = tmp_path_factory.mktemp("store") / "features"
    records = [
        record(os.fsdecode(name), seconds + i, seed=i, widths=widths)
        for i, name in enumerate(names)
    ]
    store = write(folder, recipe_of(*widths), dtype, train=records)
    assert store.dtype == dtype
    assert store.count("train") == len(names)
    assert store.recipe == recipe_of(*widths) and store.labels == LABELS
    found = list(store.dataset("train").as_numpy_iterator())
    assert [each["id"] for each in found] == names
    for each, (_, features, _, targets) in zip(found, records, strict=True):
        np.testing.assert_array_equal(each["visual"], features.visual.astype(dtype))
        np.testing.assert_array_equal(each["audio"], features.audio.astype(dtype))
        np.testing.assert_array_equal(each["valid"], features.valid)
        np.testing.assert_array_equal(each["targets"], targets)
        assert each["visual"].dtype == "float32" and each["valid"].dtype == "bool"
    for each, less in zip(found, store.seconds("train").as_numpy_iterator(), strict=True):
        assert set(less) == {"id", "valid", "targets", "active"}
        assert all(np.array_equal(less[key], each[key]) for key in less)


@pytest.mark.parametrize(("records", "shards"), [(0, 1), (1, 1), (3, 1), (4, 2), (10, 4)])
def test_records_spread_over_shards(tmp_path, monkeypatch, records, shards):
    monkeypatch.setattr(feature_store, "RECORDS_PER_SHARD", 3)
    names = [f"clip{n}" for n in range(records)]
    store = write(tmp_path / "features", test=[record(name, 2) for name in names])
    files = sorted(path.name for path in (tmp_path / "features").glob("*.tfrecord"))
    assert files == [f"test-{i:05d}-of-{shards:05d}.tfrecord" for i in range(shards)]
    found = [each["id"].decode() for each in store.dataset("test").as_numpy_iterator()]
    assert found == names  # in the order in which they were written
    sizes = [path.stat().st_size for path in (tmp_path / "features").glob("*.tfrecord")]
    assert max(sizes) - min(sizes) <= 1.5 * sum(sizes) / max(records, 1)  # one record at most


def test_each_record_has_mediasequences_keys(tmp_path):
    _, features, annotations, targets = one = record("dog.mp4", 3)
    write(tmp_path / "features", train=[one])
    (shard,) = (tmp_path / "features").glob("train-*.tfrecord")
    (raw,) = tf.data.TFRecordDataset(str(shard)).as_numpy_iterator()
    example = tf.train.SequenceExample.FromString(raw)
    context = example.context.feature
    assert context["clip/media_id"].bytes_list.value == [b"dog.mp4"]
    assert context["clip/start/timestamp"].int64_list.value == [0]
    assert context["clip/end/timestamp"].int64_list.value == [3_000_000]  # microseconds
    assert context["segment/label/string"].bytes_list.value == [b"Bark"]
    assert context["segment/start/timestamp"].int64_list.value == [0]
    assert context["segment/end/timestamp"].int64_list.value == [1_500_000]
    lists = example.feature_lists.feature_list
    for prefix, vectors in (("RGB", features.visual), ("AUDIO", features.audio)):
        times = [each.int64_list.value[0] for each in lists[f"{prefix}/feature/timestamp"].feature]
        assert times == [0, 1_000_000, 2_000_000]
        floats = [each.float_list.value for each in lists[f"{prefix}/feature/floats"].feature]
        np.testing.assert_array_equal(np.array(floats, "float32"), vectors)
    indices = [each.int64_list.value[0] for each in lists["SECOND/label/index"].feature]
    assert indices == targets.tolist()


# float16


def half_sized(folder: Path, visual: float, audio: float = 1.0) -> FeatureStore:
    """A float16 store of one video with these values."""
    features = Features(
        np.full([2, 3], visual, "float32"), np.full([2, 2], audio, "float32"), np.ones(2, bool)
    )
    return write(folder, dtype="float16", train=[("dog.mp4", features, (), np.zeros(2, int))])


def test_float16_is_half_the_size(tmp_path):
    records = [record(f"clip{n}", 10, seed=n, widths=(200, 100)) for n in range(4)]
    sizes = {}
    for dtype in ("float32", "float16"):
        store = write(tmp_path / dtype, recipe_of(200, 100), dtype, train=records)
        assert json.loads((store.folder / "manifest.json").read_text())["feature_dtype"] == dtype
        sizes[dtype] = sum(path.stat().st_size for path in store.folder.glob("*.tfrecord"))
    assert 0.45 < sizes["float16"] / sizes["float32"] < 0.55


def test_float16_is_little_endian_bytes_under_a_key_of_its_own(tmp_path):
    half_sized(tmp_path / "features", visual=1.5)
    (shard,) = (tmp_path / "features").glob("train-*.tfrecord")
    (raw,) = tf.data.TFRecordDataset(str(shard)).as_numpy_iterator()
    lists = tf.train.SequenceExample.FromString(raw).feature_lists.feature_list
    (first, _) = [each.bytes_list.value[0] for each in lists["RGB/feature/float16"].feature]
    assert first == b"\x00\x3e" * 3  # IEEE 754: 1.5 is 0x3e00
    assert "RGB/feature/floats" not in lists and "AUDIO/feature/floats" not in lists


@pytest.mark.parametrize("value", [65504.0, -65504.0, 6.2e-5, 0.0, float("nan")])
def test_what_float16_holds_is_stored(tmp_path, value):
    (found,) = half_sized(tmp_path / "features", value).dataset("train").as_numpy_iterator()
    np.testing.assert_allclose(found["visual"], np.full([2, 3], value), rtol=1e-3)


@pytest.mark.parametrize("value", [65505.0, -1e9, float("inf")])
def test_what_float16_cannot_hold_is_refused(tmp_path, value):
    with pytest.raises(FeatureStoreError, match="audio features of dog.mp4 reach .* float32"):
        half_sized(tmp_path / "features", 1.0, value)
    assert not list(tmp_path.iterdir())


def test_features_that_float16_would_blur_are_refused(tmp_path):
    with pytest.raises(FeatureStoreError, match="No visual feature of the split 'train' .*1e-06"):
        half_sized(tmp_path / "features", 1e-6)


def test_an_unknown_dtype(tmp_path):
    with pytest.raises(ValueError, match="float32, float16. Received: 'float64'"):
        write(tmp_path / "features", dtype="float64", train=[])


def test_a_store_that_does_not_say_is_float32(tmp_path):
    store = write(tmp_path / "features", train=[record("a", 1)])
    del store.manifest["feature_dtype"]
    (store.folder / "manifest.json").write_text(json.dumps(store.manifest))
    older = FeatureStore(store.folder)
    assert older.dtype == "float32" and len(list(older.dataset("train"))) == 1


def test_a_split_that_is_not_there(tmp_path):
    store = write(tmp_path / "features", train=[record("a", 1)], test=[])
    assert store.count("test") == 0 and not list(store.dataset("test"))
    with pytest.raises(FeatureStoreError, match="no split 'validation'. It has: train, test"):
        store.count("validation")


# Whole or not at all


def test_examples_of_files_in_two_splits_can_be_left_out(tmp_path):
    names = ["clean", "twice", "clean#augmented1", "twice#augmented1"]
    odd = os.fsdecode(b"\xff odd")
    with FeatureStoreWriter(
        tmp_path / "store", recipe=recipe_of(), labels=LABELS, layout="ave", leaks=["twice", odd]
    ) as writer:
        records = [record(name, 2, seed) for seed, name in enumerate([*names, odd])]
        writer.write_split("train", records, expected=5)
        writer.write_split("test", [record("other", 2)], expected=1)
    official = FeatureStore(tmp_path / "store")
    deleaked = FeatureStore(tmp_path / "store", deleaked=True)
    assert (official.count("train"), deleaked.count("train")) == (5, 2)
    assert official.count("test") == deleaked.count("test") == 1
    for read in (deleaked.dataset, deleaked.seconds):
        found = [each["id"].decode() for each in read("train").as_numpy_iterator()]
        assert found == ["clean", "clean#augmented1"]
    assert len(list(official.dataset("train"))) == 5


def test_a_store_without_leaks_recorded_is_refused_deleaked(tmp_path):
    store = write(tmp_path / "store", train=[record("a", 2)])
    manifest = store.folder / "manifest.json"
    content = json.loads(manifest.read_text())
    del content["leaks"]
    manifest.write_text(json.dumps(content))
    assert FeatureStore(store.folder).count("train") == 1
    with pytest.raises(FeatureStoreError, match=r"in two splits.*dataset\.deleaked"):
        FeatureStore(store.folder, deleaked=True)


def test_a_failure_half_way_leaves_the_old_store(tmp_path):
    folder = tmp_path / "features"
    write(folder, train=[record("old", 2)])
    before = files_of(folder)

    def broken():
        yield record("new", 2)
        raise RuntimeError("the disk is full")

    with (
        pytest.raises(RuntimeError, match="the disk is full"),
        FeatureStoreWriter(folder, recipe=recipe_of(), labels=LABELS, layout="table") as writer,
    ):
        writer.write_split("train", broken(), expected=2)
    assert files_of(folder) == before
    assert [path.name for path in tmp_path.iterdir()] == ["features"]


def test_a_failure_at_the_first_attempt_leaves_nothing(tmp_path):
    with (
        pytest.raises(KeyboardInterrupt),
        FeatureStoreWriter(
            tmp_path / "features", recipe=recipe_of(), labels=LABELS, layout="table"
        ),
    ):
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())


def test_the_folder_appears_when_all_of_it_is_there(tmp_path):
    folder = tmp_path / "features"
    with FeatureStoreWriter(folder, recipe=recipe_of(), labels=LABELS, layout="table") as writer:
        writer.write_split("train", [record("a", 1)], expected=1)
        assert not folder.exists()
    assert folder.is_dir()


def test_a_new_store_replaces_all_of_the_old_one(tmp_path):
    folder = tmp_path / "features"
    write(folder, train=[record("old", 2)], test=[record("old too", 2)])
    store = write(folder, train=[record("new", 3)])
    assert list(store.manifest["splits"]) == ["train"]
    assert len(files_of(folder)) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["features"]


def test_what_a_killed_process_left_is_no_obstacle(tmp_path):
    (tmp_path / f".features.{os.getpid()}.partial").mkdir()
    assert write(tmp_path / "features", train=[record("a", 1)]).count("train") == 1


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "cat.jpg").write_bytes(b"cat")
    with pytest.raises(FeatureStoreError, match="photos exists and is not a feature store"):
        FeatureStoreWriter(folder, recipe=recipe_of(), labels=LABELS, layout="table")
    assert files_of(folder) == {"cat.jpg": b"cat"}
    with pytest.raises(FeatureStoreError, match="cat.jpg exists and is not a feature store"):
        FeatureStoreWriter(folder / "cat.jpg", recipe=recipe_of(), labels=LABELS, layout="table")


def test_a_training_run_is_not_taken_for_an_older_store(tmp_path):
    """It has a manifest.json of its own; to replace it would cost the trained model."""
    for name in ("manifest.json", "model.keras"):
        (tmp_path / name).write_text("{}")
    with pytest.raises(FeatureStoreError, match="exists and is not a feature store"):
        FeatureStoreWriter(tmp_path, recipe=recipe_of(), labels=LABELS, layout="table")


def test_an_empty_folder_is_welcome(tmp_path):
    (tmp_path / "features").mkdir()
    assert write(tmp_path / "features", train=[record("a", 1)]).count("train") == 1


def test_the_same_records_give_the_same_bytes(tmp_path):
    for name in ("one", "other"):
        write(tmp_path / name, train=[record("a", 2), record("b", 3)])
    assert files_of(tmp_path / "one") == files_of(tmp_path / "other")


# What cannot be read


def test_no_store_at_all(tmp_path):
    with pytest.raises(FeatureStoreError, match="manifest.json cannot be read.*avel extract"):
        FeatureStore(tmp_path)


def damage(manifest: dict, what: str) -> str:
    if what == "cut":
        return json.dumps(manifest)[:-20]
    if what == "a list":
        return "[]"
    if what == "recipe":
        manifest["recipe"] = {"visual": {}}
    else:
        del manifest[what]
    return json.dumps(manifest)


@pytest.mark.parametrize(
    "what", ["cut", "a list", "recipe", "labels", "splits", "layout", "skipped"]
)
def test_a_damaged_manifest_is_named(tmp_path, what):
    store = write(tmp_path / "features", train=[record("a", 1)])
    path = store.folder / "manifest.json"
    path.write_text(damage(store.manifest, what))
    with pytest.raises(FeatureStoreError, match=f"manifest {path} is damaged"):
        FeatureStore(store.folder)


def test_another_schema(tmp_path):
    store = write(tmp_path / "features", train=[record("a", 1)])
    path = store.folder / "manifest.json"
    path.write_text(json.dumps({**store.manifest, "schema": 2}))
    with pytest.raises(FeatureStoreError, match="schema 2; .* reads schema 1. Extract"):
        FeatureStore(store.folder)
