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

from avel_tf.features.feature_store import WHOLE, FeatureStore, FeatureStoreError, Part
from avel_tf.utils.tf_data import awaited_at_exit, without_autotune


class Batch(NamedTuple):
    """B windows of T seconds.

    Attributes:
        visual: float32 [B, T, Dv]; undefined, even NaN, at segments that are not valid.
        audio: float32 [B, T, Da].
        valid: bool [B, T].
        targets: int64 [B, T], background is C; or float32 [B, T, C+1], a distribution per
            segment or, with several labels, as in `Examples`.
    """

    visual: tf.Tensor
    audio: tf.Tensor
    valid: tf.Tensor
    targets: tf.Tensor


def shuffled(batch: Batch, key: tf.Tensor) -> Batch:
    """Shuffle the windows of a batch, to pair each with another one.

    According to Zhang et al. 2018, pairs within a batch are as good as pairs of two batches.

    Args:
        batch: The windows.
        key: int64 [2], seed of the order.
    """
    order = tf.random.experimental.stateless_shuffle(tf.range(tf.shape(batch.valid)[0]), seed=key)
    return Batch(*(tf.gather(column, order) for column in batch))


logger = logging.getLogger(__name__)

# Limits of the windows whose statistics are computed at once: 256 are 21 MB of ResNet-152 vectors
# at ten seconds, but a window of its maps has 4 MB.
_WINDOWS_AT_ONCE = 256
_BYTES_AT_ONCE = 128e6
# Allocates zeros of a shape and type, in memory or on the disk.
Allocate = Callable[[tuple[int, ...], str], np.ndarray]
# Augments a batch as a function of (seed, epoch), int64 [2], and the step in the epoch.
Augment = Callable[[Batch, tf.Tensor, tf.Tensor], Batch]


@dataclass(frozen=True, eq=False)
class Examples:
    """N windows of T seconds.

    Attributes:
        visual: float32 or float16 [N, T, Dv], as the feature store holds them.
        audio: float32 or float16 [N, T, Da].
        valid: bool [N, T].
        targets: int64 [N, T], background is C. With weak supervision float32 [N, T, C+1]: the
            events of the whole video in equal shares at every segment, or background. With several
            labels float32 [N, T, C+1]: 1 for each event of the segment (with weak supervision, of
            the video), and 1 in the last column without any.
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
        """Yield the features of the valid segments as arrays [n, D].

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
        """Shuffled batches of consecutive epochs.

        The order within an epoch is a function of seed and epoch, so a resumed run has the same
        batches as an uninterrupted one. All examples are shuffled, not a buffer of them.

        Args:
            batch_size: B.
            seed: Seed of the run.
            first_epoch: First epoch, counted from 0.
            epochs: Epoch at which to end, exclusive.
            augment: Random change of each batch as a function of seed, epoch and step.

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
        """Batches of the examples with these indices, int64 [B]; others go to `augment`."""
        columns = (self.visual, self.audio, self.valid, self.targets)
        types = [tf.as_dtype(column.dtype) for column in columns]

        @awaited_at_exit
        def pick(rows: np.ndarray) -> tuple[np.ndarray, ...]:
            return tuple(column[rows] for column in columns)  # [B, T, ...]

        @tf.autograph.experimental.do_not_convert
        def gather(rows: tf.Tensor, *chance: tf.Tensor) -> tuple:
            # NumPy gathers rows faster than tf.gather (docs/design/performance.md), needs no second
            # copy of the arrays, and also reads arrays on the disk.
            found = tf.numpy_function(pick, [rows], types, stateful=False)
            visual, audio, valid, targets = (
                tf.ensure_shape(tensor, [None, *column.shape[1:]])
                for tensor, column in zip(found, columns, strict=True)
            )
            # Cast here: TensorFlow is several times as fast as NumPy.
            visual, audio = tf.cast(visual, tf.float32), tf.cast(audio, tf.float32)
            batch = Batch(visual, audio, valid, targets)
            if augment:
                batch = augment(batch, *chance)
            inputs = {"visual": batch.visual, "audio": batch.audio, "valid": batch.valid}
            return inputs, batch.targets, tf.cast(batch.valid, tf.float32)

        numbers = without_autotune(numbers)
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
    part: Part = WHOLE,
) -> Examples:
    """Read a split and cut each video into windows of `seconds`.

    The last window of a video is padded with invalid segments; windows without a valid segment are
    omitted. Features are parsed once. If they do not fit into memory, they are stored parsed in a
    file without a name, which the system removes with the process, and read from there; the batches
    are the same.

    Args:
        store: The feature store.
        split: `train`, `validation` or `test`.
        seconds: T.
        supervision: `full`, or `weak` to use no times of events.
        multi_label: Whether a segment has all of its labels, or that of the event that began last.
        memory_bytes: Most bytes of features in memory.
        scratch: Existing folder for larger features.
        part: The part of the split that is read.

    Returns:
        The windows; N is 0 if the split is empty.

    Raises:
        FeatureStoreError: The features fit neither into memory nor on the disk.
    """
    valid, targets = _second_windows(
        store, split, seconds, supervision, multi_label, part
    )  # [N, T, ...] each
    widths = {"visual": store.recipe.visual.width, "audio": store.recipe.audio.width}
    bytes_ = valid.size * sum(widths.values()) * np.dtype(store.dtype).itemsize
    allocate: Allocate = np.zeros
    if bytes_ > memory_bytes:
        logger.info(
            "The %s split of %s has %.2f GB, more than the memory limit of %.2f GB; it is "
            "unpacked to %s.",
            *(split, store.folder, bytes_ / 1e9, memory_bytes / 1e9, scratch),
        )
        allocate = _on_disk(Path(scratch), store)
    arrays = {
        name: allocate((len(valid), seconds, width), store.dtype) for name, width in widths.items()
    }  # [N, T, D] each
    number = 0
    for record in store.dataset(split, as_stored=True, part=part).as_numpy_iterator():
        for start in range(0, len(record["valid"]), seconds):
            stop = min(start + seconds, len(record["valid"]))
            if record["valid"][start:stop].any():
                for name, array in arrays.items():
                    array[number, : stop - start] = record[name][start:stop]
                number += 1
    return Examples(arrays["visual"], arrays["audio"], valid, targets)


def _second_windows(
    store: FeatureStore,
    split: str,
    seconds: int,
    supervision: str,
    multi_label: bool,
    part: Part,
) -> tuple[np.ndarray, np.ndarray]:
    """Valid segments of each window, bool [N, T], and the targets of `Examples`."""
    background = store.labels.background
    found_valid, found_targets = [], []
    for record in store.seconds(split, part).as_numpy_iterator():
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
            window = slice(start, start + seconds)
            if record["valid"][window].any():
                found_valid.append(_padded(record["valid"][window], seconds, False))
                found_targets.append(_padded(targets[window], seconds, padding))
    if not found_valid:
        return np.zeros((0, seconds), bool), np.zeros((0, seconds), np.int64)
    return np.stack(found_valid), np.stack(found_targets)


def with_no_event(active: np.ndarray) -> np.ndarray:
    """Targets of a multi-label model.

    Args:
        active: Active classes, bool [..., C].

    Returns:
        float32 [..., C+1]; the last column is 1 without any active class.
    """
    none = ~active.any(axis=-1, keepdims=True)  # [..., 1]
    return np.concatenate([active, none], axis=-1).astype(np.float32)


def clip_label(targets: np.ndarray, background: int) -> np.ndarray:
    """Weak label of a video: its events without their times.

    All windows of a video have the same label, also of segments that could not be decoded, because
    the window of an event would reveal its time.

    Args:
        targets: int [T], class of each segment.
        background: C.

    Returns:
        float32 [C+1], summing to 1: the events in equal shares, or background without any.
    """
    shares = np.zeros(background + 1, np.float32)
    events = np.unique(targets[targets != background])
    shares[events if len(events) else background] = 1 / max(len(events), 1)
    return shares


def _padded(values: np.ndarray, seconds: int, padding: object) -> np.ndarray:
    """Pad the values [t, ...] of a window to [T, ...]."""
    whole = np.empty((seconds, *values.shape[1:]), values.dtype)
    whole[: len(values)], whole[len(values) :] = values, padding
    return whole


def _on_disk(folder: Path, store: FeatureStore) -> Allocate:
    def allocate(shape: tuple[int, ...], dtype: str) -> np.ndarray:
        size = math.prod(shape) * np.dtype(dtype).itemsize
        with tempfile.TemporaryFile(dir=folder) as file:
            try:
                # Reserved now, because a later write to a mapped page without room kills the
                # process.
                os.posix_fallocate(file.fileno(), 0, size)
            except OSError as error:
                raise FeatureStoreError(
                    f"The features of {store.folder} do not fit into memory, and there is no space "
                    f"to unpack {size / 1e9:.2f} GB of them in {folder} ({error.strerror}). Free "
                    "space there, raise training.memory_gb, or extract them as float16 "
                    "(data.feature_dtype)."
                ) from error
            return np.asarray(np.memmap(file, dtype, mode="r+", shape=shape))

    return allocate
