"""Windows of equal length, and the order in which training meets them."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from avel_tf.features.examples import Examples, load_examples
from avel_tf.features.feature_store import FeatureStore, FeatureStoreError, FeatureStoreWriter
from avel_tf.features.features import Features
from tests.features.test_feature_store import LABELS, recipe_of, record
from tests.processes import HANGS


def store_of(
    folder: Path,
    lengths: list[int],
    valid: list[list[bool]] | None = None,
    dtype: str = "float32",
):
    records = []
    for index, seconds in enumerate(lengths):
        name, features, annotations, targets = record(f"clip{index}", seconds, seed=index)
        mask = np.array(valid[index]) if valid else np.ones(seconds, bool)
        features = Features(features.visual, features.audio, mask)
        records.append((name, features, annotations, targets))
    with FeatureStoreWriter(
        folder, recipe=recipe_of(), labels=LABELS, layout="table", dtype=dtype
    ) as writer:
        writer.write_split("train", records, expected=len(records))
        writer.write_split("test", [], expected=0)
    return FeatureStore(folder), records


@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
@given(lengths=st.lists(st.integers(1, 9), min_size=1, max_size=4), seconds=st.integers(1, 6))
def test_windows_hold_every_second_once_and_padding_behind(tmp_path_factory, lengths, seconds):
    store, records = store_of(tmp_path_factory.mktemp("store") / "features", lengths)
    examples = load_examples(store, "train", seconds=seconds)
    assert len(examples) == sum(-(-length // seconds) for length in lengths)
    assert examples.visual.shape == (len(examples), seconds, 3)
    assert examples.audio.shape == (len(examples), seconds, 2)
    for name in ("visual", "audio"):
        whole = np.concatenate([getattr(features, name) for _, features, _, _ in records])
        np.testing.assert_array_equal(getattr(examples, name)[examples.valid], whole)
        assert (getattr(examples, name)[~examples.valid] == 0).all()
    targets = np.concatenate([targets for _, _, _, targets in records])
    np.testing.assert_array_equal(examples.targets[examples.valid], targets)
    assert (examples.targets[~examples.valid] == LABELS.background).all()
    for valid in examples.valid:  # padding stands at the end of a window
        assert valid[: valid.sum()].all()


def test_windows_without_a_valid_second_are_left_out(tmp_path):
    valid = [[True, False, False, False, False, True], [False, False]]
    store, _ = store_of(tmp_path / "features", [6, 2], valid)
    examples = load_examples(store, "train", seconds=2)
    assert examples.valid.tolist() == [[True, False], [False, True]]


def test_an_empty_split_has_the_right_shapes(tmp_path):
    store, _ = store_of(tmp_path / "features", [3])
    examples = load_examples(store, "test", seconds=4)
    assert len(examples) == 0
    assert examples.visual.shape == (0, 4, 3) and examples.audio.shape == (0, 4, 2)
    assert examples.valid.shape == examples.targets.shape == (0, 4)


# Larger than memory


def columns_of(examples: Examples) -> list[np.ndarray]:
    return [examples.visual, examples.audio, examples.valid, examples.targets]


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_what_does_not_fit_into_memory_is_the_same_from_the_disk(tmp_path, dtype):
    valid = [[True] * 7, [False] * 3, [True, False, True]]
    store, _ = store_of(tmp_path / "features", [7, 3, 3], valid, dtype)
    (scratch := tmp_path / "scratch").mkdir()
    inside = load_examples(store, "train", seconds=2, memory_bytes=1e9, scratch=scratch)
    outside = load_examples(store, "train", seconds=2, memory_bytes=100, scratch=scratch)
    assert isinstance(outside.visual.base, np.memmap) and not isinstance(inside.visual, np.memmap)
    assert inside.visual.base is None
    assert inside.visual.dtype == outside.visual.dtype == dtype  # half the memory, too
    assert inside.nbytes == outside.nbytes > 100
    for one, other in zip(columns_of(inside), columns_of(outside), strict=True):
        np.testing.assert_array_equal(one, other)
    assert orders(inside) == orders(outside)
    for one, other in zip(batches(inside), batches(outside), strict=True):
        assert one[1]["visual"].dtype == one[1]["audio"].dtype == "float32"
        np.testing.assert_array_equal(one[1]["visual"], other[1]["visual"])
    assert not list(scratch.iterdir())  # nothing that a killed process could leave behind


def test_neither_memory_nor_disk(tmp_path, monkeypatch):
    store, _ = store_of(tmp_path / "features", [7])

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(FeatureStoreError, match=f"{tmp_path} .No space.* raise training.memory_gb"):
        load_examples(store, "train", seconds=2, memory_bytes=0, scratch=tmp_path)
    assert len(load_examples(store, "test", seconds=2, memory_bytes=0, scratch=tmp_path)) == 0


def test_the_seconds_that_are_there(tmp_path, monkeypatch):
    monkeypatch.setattr("avel_tf.features.examples._WINDOWS_AT_ONCE", 2)
    valid = [[True, False, True, True, True, False], [False, True, False]]
    store, records = store_of(tmp_path / "features", [6, 3], valid)
    examples = load_examples(store, "train", seconds=2)
    for stream in ("visual", "audio"):
        parts = list(examples.valid_seconds(stream))
        expected = [getattr(each, stream)[each.valid] for _, each, _, _ in records]
        assert len(parts) == 2
        np.testing.assert_array_equal(np.concatenate(parts), np.concatenate(expected))


def numbered(count: int) -> Examples:
    """Examples whose every value is their number."""
    values = np.arange(count, dtype="float32")[:, None, None]
    valid = np.arange(count)[:, None] % 3 != [[0, 1]]
    targets = np.arange(count)[:, None] + [0, 0]
    return Examples(values + [[0, 0]], values + [[0], [0]], valid, targets)


def batches(examples: Examples, seed: int = 1, first: int = 0, epochs: int = 3, size: int = 4):
    dataset = examples.batches(size, seed=seed, first_epoch=first, epochs=epochs)
    return [
        (inputs["visual"][:, 0, 0].astype(int).tolist(), inputs, targets, weights)
        for inputs, targets, weights in dataset.as_numpy_iterator()
    ]


def orders(*arguments, **keywords) -> list[list[int]]:
    return [numbers for numbers, _, _, _ in batches(*arguments, **keywords)]


def test_each_epoch_holds_each_example_once():
    examples = numbered(10)
    found = orders(examples)
    assert [len(batch) for batch in found] == [4, 4, 2] * 3
    epochs = [sum(found[3 * e : 3 * e + 3], []) for e in range(3)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3


def test_the_columns_of_a_batch_belong_together():
    examples = numbered(10)
    for numbers, inputs, targets, weights in batches(examples):
        np.testing.assert_array_equal(inputs["audio"][:, 0, 0], numbers)
        np.testing.assert_array_equal(targets[:, 1], numbers)
        np.testing.assert_array_equal(inputs["valid"], examples.valid[numbers])
        # Seconds that are not there weigh nothing.
        np.testing.assert_array_equal(weights, examples.valid[numbers].astype("float32"))


def test_the_seed_decides_the_order():
    examples = numbered(10)
    assert orders(examples, seed=1) == orders(examples, seed=1)
    assert orders(examples, seed=1) != orders(examples, seed=2)


@pytest.mark.parametrize("first", [1, 2, 3])
def test_a_resumed_order_is_the_tail_of_the_whole(first):
    examples = numbered(10)
    assert orders(examples, first=first) == orders(examples)[3 * first :]


def test_nothing_delays_the_end_of_an_iterator(store):
    """TensorFlow's tuner does, by up to a minute; see `without_autotune`."""
    examples = numbered(10)
    for dataset in (
        examples.batches(4, seed=1, first_epoch=0, epochs=1),
        examples.in_order(4),
        store.dataset("train"),
        store.seconds("train"),
    ):
        assert dataset.options().autotune.enabled is False


def test_in_order_gives_each_example_once():
    found = [
        (inputs["audio"][:, 0, 0].astype(int).tolist(), weights)
        for inputs, _, weights in numbered(10).in_order(4).as_numpy_iterator()
    ]
    assert [numbers for numbers, _ in found] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    np.testing.assert_array_equal(np.concatenate([w for _, w in found]), numbered(10).valid)


# Deleted by the search for garbage at the end of Python, as after an interrupted training.
ENDS_IN_A_BATCH = """
import gc, time
import numpy as np
from avel_tf.features.examples import Examples
class Slow(np.ndarray):
    def __getitem__(self, rows):
        time.sleep(0.3)
        return np.asarray(self)[rows]
class Cycle:
    pass
features = np.zeros((64, 10, 4), np.float32)
examples = Examples(
    features.view(Slow), features, np.ones((64, 10), bool), np.zeros((64, 10), np.int64)
)
gc.disable()
cycle = Cycle()
cycle.itself, cycle.batches = cycle, iter(examples.in_order(4))
next(cycle.batches)
del cycle
"""


@pytest.mark.slow
def test_a_process_ends_while_a_batch_is_read():
    subprocess.run([sys.executable, "-c", ENDS_IN_A_BATCH], check=True, timeout=HANGS)
