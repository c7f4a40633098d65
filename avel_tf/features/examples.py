"""Features cut to windows of equal length, as batches for training."""

from __future__ import annotations

import logging
import math
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from avel_tf.features.feature_store import FeatureStore, FeatureStoreError


class Batch(NamedTuple):
    """B windows of T seconds.

    Attributes:
        visual: float32 [B, T, Dv]; anything, even NaN, at seconds that are not valid.
        audio: float32 [B, T, Da].
        valid: bool [B, T].
        targets: int64 [B, T], background is C; or float32 [B, T, C+1], a distribution
            a second, or, of several labels, as `Examples` has them.
    """

    visual: tf.Tensor
    audio: tf.Tensor
    valid: tf.Tensor
    targets: tf.Tensor


def shuffled(batch: Batch, key: tf.Tensor) -> Batch:
    """The same windows in another order: a partner for each window of the batch.

    Zhang et al. 2018 found partners out of the same batch as good as those of a second one.

    Args:
        batch: The windows.
        key: int64 [2], the seed of the order.
    """
    order = tf.random.experimental.stateless_shuffle(tf.range(tf.shape(batch.valid)[0]), seed=key)
    return Batch(*(tf.gather(column, order) for column in batch))


logger = logging.getLogger(__name__)

# Windows whose statistics are taken at once, 21 MB of ResNet-152 at ten seconds, and how large
# they may be together: a window of its maps has 4 MB.
_WINDOWS_AT_ONCE = 256
_BYTES_AT_ONCE = 128e6
# An array of zeros of a shape and a type, in memory or on the disk.
Allocate = Callable[[tuple[int, ...], str], np.ndarray]
# Changes a batch by what (seed, epoch) int64 [2] and the step in the epoch decide.
Augment = Callable[[Batch, tf.Tensor, tf.Tensor], Batch]


@dataclass(frozen=True, eq=False)
class Examples:
    """N windows of T seconds.

    Attributes:
        visual: float32 or float16 [N, T, Dv], as the feature store holds them.
        audio: float32 or float16 [N, T, Da].
        valid: bool [N, T].
        targets: int64 [N, T], background is C; under weak supervision float32 [N, T, C+1], at every
            second the events of the whole video, each with the same share, or background. Of
            several labels float32 [N, T, C+1]: 1 for each event of the second (or, under weak
            supervision, of the video), and in the last column where there is none.
    """

    visual: np.ndarray
    audio: np.ndarray
    valid: np.ndarray
    targets: np.ndarray

    def __len__(self) -> int:
        return len(self.valid)

    @property
    def nbytes(self) -> int:
        """Size of the features."""
        return self.visual.nbytes + self.audio.nbytes

    def valid_seconds(self, stream: str) -> Iterator[np.ndarray]:
        """Features of the valid segments, as a sequence of arrays [n, D].

        Args:
            stream: `visual` or `audio`.
        """
        vectors: np.ndarray = getattr(self, stream)
        window_bytes = vectors.nbytes / max(len(self), 1)
        windows = int(min(_WINDOWS_AT_ONCE, max(_BYTES_AT_ONCE // max(window_bytes, 1), 1)))
        for first in range(0, len(self), windows):
            part = slice(first, first + windows)
            yield vectors[part][self.valid[part]]  # [n, D]

    def batches(
        self,
        batch_size: int,
        *,
        seed: int,
        first_epoch: int,
        epochs: int,
        augment: Augment | None = None,
    ) -> tf.data.Dataset:
        """Shuffled batches of the epochs from `first_epoch` on, one epoch after the other.

        The order within an epoch is a function of seed and epoch, so a run that is resumed at an
        epoch sees what an uninterrupted one would have seen. It is an order of all examples, not
        of those in a buffer.

        Args:
            batch_size: B.
            seed: The run's.
            first_epoch: Counted from 0.
            epochs: Where to end.
            augment: Changes each batch, by chance that depends on seed, epoch and step alone.

        Returns:
            Elements (inputs, targets, weights [B, T]), features float32, targets [B, T] or
            [B, T, C+1]; ceil(N / batch_size) an epoch.
        """

        @tf.autograph.experimental.do_not_convert
        def one_epoch(epoch: tf.Tensor) -> tf.data.Dataset:
            key = tf.stack([tf.constant(seed, tf.int64), epoch])
            order = tf.random.experimental.stateless_shuffle(
                tf.range(len(self), dtype=tf.int64), seed=key
            )
            rows = tf.data.Dataset.from_tensor_slices(order).batch(batch_size)
            return rows.enumerate().map(lambda step, numbers: (numbers, key, step))

        numbers = tf.data.Dataset.range(first_epoch, epochs).flat_map(one_epoch)
        return self._gathered(numbers, augment)

    def in_order(self, batch_size: int) -> tf.data.Dataset:
        """Each example once, in batches like those of `batches`."""
        return self._gathered(tf.data.Dataset.range(len(self)).batch(batch_size))

    def _gathered(
        self, numbers: tf.data.Dataset, augment: Augment | None = None
    ) -> tf.data.Dataset:
        """Batches of the examples of these numbers, int64 [B]; behind them what decides chance."""
        columns = (self.visual, self.audio, self.valid, self.targets)
        types = [tf.as_dtype(column.dtype) for column in columns]

        def pick(rows: np.ndarray) -> tuple[np.ndarray, ...]:
            return tuple(column[rows] for column in columns)  # [B, T, ...]

        @tf.autograph.experimental.do_not_convert
        def gather(rows: tf.Tensor, *chance: tf.Tensor) -> tuple:
            # NumPy picks rows faster than tf.gather (docs/design/performance.md), needs no second
            # copy of the arrays, and takes those on the disk as well.
            found = tf.numpy_function(pick, [rows], types, stateful=False)
            visual, audio, valid, targets = (
                tf.ensure_shape(tensor, [None, *column.shape[1:]])
                for tensor, column in zip(found, columns, strict=True)
            )
            # Widened here: TensorFlow does it several times as fast as numpy.
            visual, audio = tf.cast(visual, tf.float32), tf.cast(audio, tf.float32)
            batch = Batch(visual, audio, valid, targets)
            if augment:
                batch = augment(batch, *chance)
            inputs = {"visual": batch.visual, "audio": batch.audio, "valid": batch.valid}
            return inputs, batch.targets, tf.cast(batch.valid, tf.float32)

        return numbers.map(gather, num_parallel_calls=2, deterministic=True).prefetch(2)


def load_examples(
    store: FeatureStore,
    split: str,
    *,
    seconds: int,
    supervision: str = "full",
    multi_label: bool = False,
    memory_bytes: float = math.inf,
    scratch: str | Path = ".",
) -> Examples:
    """Read a split and cut each video into windows of `seconds`.

    A video's last window is padded with seconds that are not valid; windows with no valid second
    are left out. The features are parsed once. Those that do not fit into memory go, parsed, into
    a file without a name, which ends with the process, and are read from there batch by batch;
    the batches are the same.

    Args:
        store: The feature store.
        split: `train`, `validation` or `test`.
        seconds: T.
        supervision: `full`, or `weak`: nothing of when an event happens leaves the feature store.
        multi_label: Whether a second has all of its labels, or the one of the event that began
            last.
        memory_bytes: How large the features may be in memory.
        scratch: An existing folder on a disk with room for those that are larger.

    Returns:
        The windows; N is 0 when the split is empty.

    Raises:
        FeatureStoreError: When the features fit neither into memory nor on the disk.
    """
    valid, targets = _second_windows(
        store, split, seconds, supervision, multi_label
    )  # [N, T, ...] each
    widths = {"visual": store.recipe.visual.width, "audio": store.recipe.audio.width}
    bytes_ = valid.size * sum(widths.values()) * np.dtype(store.dtype).itemsize
    allocate: Allocate = np.zeros
    if bytes_ > memory_bytes:
        logger.info(
            "The %s split of %s is larger (%.2f GB) than features may be in memory (%.2f GB); it "
            "is unpacked to %s.",
            *(split, store.folder, bytes_ / 1e9, memory_bytes / 1e9, scratch),
        )
        allocate = _on_disk(Path(scratch), store)
    arrays = {
        name: allocate((len(valid), seconds, width), store.dtype) for name, width in widths.items()
    }  # [N, T, D] each
    number = 0
    for record in store.dataset(split, as_stored=True).as_numpy_iterator():
        for start in range(0, len(record["valid"]), seconds):
            stop = min(start + seconds, len(record["valid"]))
            if record["valid"][start:stop].any():
                for name, array in arrays.items():
                    array[number, : stop - start] = record[name][start:stop]
                number += 1
    return Examples(arrays["visual"], arrays["audio"], valid, targets)


def _second_windows(
    store: FeatureStore, split: str, seconds: int, supervision: str, multi_label: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Valid segments of each window, bool [N, T], and the targets of `Examples`."""
    background = store.labels.background
    found_valid, found_targets = [], []
    for record in store.seconds(split).as_numpy_iterator():
        targets = record["targets"]  # [T]
        padding: int | np.ndarray = background
        if multi_label:
            targets = with_no_event(record["active"])  # [T, C+1]
            padding = with_no_event(np.zeros(background, bool))  # [C+1]
        if supervision == "weak":
            padding = (
                with_no_event(record["active"].any(axis=0))
                if multi_label
                else clip_label(targets, background)
            )  # [C+1]
            targets = np.broadcast_to(padding, (len(targets), background + 1))  # [T, C+1]
        for start in range(0, len(record["valid"]), seconds):
            part = slice(start, start + seconds)
            if record["valid"][part].any():
                found_valid.append(_padded(record["valid"][part], seconds, False))
                found_targets.append(_padded(targets[part], seconds, padding))
    if not found_valid:
        return np.zeros((0, seconds), bool), np.zeros((0, seconds), np.int64)
    return np.stack(found_valid), np.stack(found_targets)


def with_no_event(active: np.ndarray) -> np.ndarray:
    """Labels of seconds as a model of several labels learns them.

    Args:
        active: Which classes there are, bool [..., C].

    Returns:
        float32 [..., C+1], the last column 1 where there is none.
    """
    none = ~active.any(axis=-1, keepdims=True)  # [..., 1]
    return np.concatenate([active, none], axis=-1).astype(np.float32)


def clip_label(targets: np.ndarray, background: int) -> np.ndarray:
    """Weak labels of a video: its events without their times.

    All of the video counts, also seconds that could not be decoded, and each of its windows gets
    the same: which window an event lies in would be a part of when it happens.

    Args:
        targets: int [T], the class of each second.
        background: C.

    Returns:
        float32 [C+1], summing to 1: the events by equal shares, or background where there is none.
    """
    shares = np.zeros(background + 1, np.float32)
    events = np.unique(targets[targets != background])
    shares[events if len(events) else background] = 1 / max(len(events), 1)
    return shares


def _padded(values: np.ndarray, seconds: int, padding: object) -> np.ndarray:
    """A window's values [t, ...] with padding behind them, [T, ...]."""
    whole = np.empty((seconds, *values.shape[1:]), values.dtype)
    whole[: len(values)], whole[len(values) :] = values, padding
    return whole


def _on_disk(folder: Path, store: FeatureStore) -> Allocate:
    def allocate(shape: tuple[int, ...], dtype: str) -> np.ndarray:
        size = math.prod(shape) * np.dtype(dtype).itemsize
        with tempfile.TemporaryFile(dir=folder) as file:
            try:
                # Now, with an error: to write later to a mapped page without room is fatal.
                os.posix_fallocate(file.fileno(), 0, size)
            except OSError as error:
                raise FeatureStoreError(
                    f"The features of {store.folder} do not fit into memory, and there is no room "
                    f"to unpack {size / 1e9:.2f} GB of them in {folder} ({error.strerror}). Make "
                    "room there, raise training.memory_gb, or extract them as float16 "
                    "(data.feature_dtype)."
                ) from error
            return np.asarray(np.memmap(file, dtype, mode="r+", shape=shape))

    return allocate
