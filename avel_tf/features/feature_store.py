"""Feature store: TFRecord shards and a manifest."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from avel_tf.datasets import Annotation
from avel_tf.embeddings.recipe import Recipe
from avel_tf.engines.available import EngineChoice
from avel_tf.events.labels import Labels
from avel_tf.features.features import Features
from avel_tf.features.record import decode_record, decode_seconds, encode_record
from avel_tf.features.settings import known_dtype
from avel_tf.utils.tf_data import without_autotune

SCHEMA = 1
MANIFEST = "manifest.json"
SPLITS = ("train", "validation", "test")
# About 100 MB a shard with ResNet-152 and VGGish at ten seconds a clip, TensorFlow's own advice
# for TFRecord files (https://www.tensorflow.org/guide/data_performance).
RECORDS_PER_SHARD = 1_024
# Suffix of the id of an augmented copy, before its number.
AUGMENTED = "#augmented"
_FLOAT16_MAX = float(np.finfo(np.float16).max)
_FLOAT16_NORMAL = float(np.finfo(np.float16).smallest_normal)


class FeatureStoreError(ValueError):
    """A folder that is not a feature store, or one that cannot be used as requested."""


def is_feature_store(path: str | Path) -> bool:
    """Return True if a path is a feature store rather than a data set."""
    return (Path(path) / MANIFEST).is_file() and any(Path(path).glob("*.tfrecord"))


@dataclass(frozen=True)
class Part:
    """One of N parts of the records of a split: whole files where there are enough of them.

    Args:
        index: Number of the part, counted from 0.
        count: N.
    """

    index: int
    count: int


WHOLE = Part(0, 1)


class FeatureStore:
    """Reader of a folder of features and its manifest.

    Args:
        folder: Folder written by `avel extract` or `FeatureStoreWriter`.
        deleaked: Omit records whose file is in another split as well, as `dataset.deleaked` does
            for a data set.

    Attributes:
        recipe: Recipe of the features.
        labels: The classes.
        layout: Layout of the data set.
        dtype: `float32` or `float16`, the stored type; `dataset` returns float32.
        skipped: `{"video", "split", "reason"}` of each video without features.
        weak_splits: Splits whose targets name the events of a video without times.
        engine: The engine that computed the features; None if an older version did.

    Raises:
        FeatureStoreError: The manifest cannot be read, or lacks the leaks that `deleaked` needs.
    """

    def __init__(self, folder: str | Path, *, deleaked: bool = False) -> None:
        self.folder = Path(folder)
        path = self.folder / MANIFEST
        try:
            self.manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            self.recipe = Recipe.from_dict(self.manifest["recipe"])
            self.labels = Labels(self.manifest["labels"])
            self.layout: str = self.manifest["layout"]
            # Stores of older versions have no such key and are float32.
            self.dtype = known_dtype(self.manifest.get("feature_dtype", "float32"))
            self.skipped: list[dict[str, str]] = self.manifest["skipped"]
            self.weak_splits = frozenset(self.manifest.get("weak_splits", ()))
            # Nor have they the engine.
            engine = self.manifest.get("engine")
            self.engine = EngineChoice(**engine) if engine else None
            self._splits: dict[str, dict[str, Any]] = self.manifest["splits"]
        except OSError as error:
            raise FeatureStoreError(
                f"{self.folder} is not a feature store: its {MANIFEST} cannot be read "
                f"({error.strerror}). avel extract DATA --out FEATURES makes one."
            ) from error
        except (KeyError, TypeError, ValueError) as error:
            raise FeatureStoreError(
                f"The manifest {path} is damaged ({type(error).__name__}: {error}). Extract the "
                "features again."
            ) from error
        if self.manifest.get("schema") != SCHEMA:
            raise FeatureStoreError(
                f"The manifest {path} has schema {self.manifest.get('schema')!r}; this version of "
                f"avel-tf reads schema {SCHEMA}. Extract the features again."
            )
        if deleaked and "leaks" not in self.manifest:
            raise FeatureStoreError(
                f"The features {self.folder} have no list of files in two splits, because "
                "an older version wrote them. Extract them again, or set dataset.deleaked to false."
            )
        self._leaks: list[str] = self.manifest["leaks"] if deleaked else []

    def __repr__(self) -> str:
        counts = ", ".join(f"{self.count(name)} {name}" for name in self._splits)
        return (
            f"<FeatureStore {str(self.folder)!r}: {counts}; {len(self.labels)} classes; "
            f"visual [{self.recipe.visual.width}], audio [{self.recipe.audio.width}]>"
        )

    @property
    def precision(self) -> str | None:
        """Precision of the engine that computed the features; None if it is not recorded."""
        return self.engine.precision if self.engine else None

    @property
    def digests(self) -> dict[str, str | None]:
        """Hash of the records of each split, by its name; None in stores of older versions."""
        return {name: entry.get("sha256") for name, entry in self._splits.items()}

    def count(self, split: str) -> int:
        """Number of records of a split."""
        entry = self._split(split)
        return entry["records"] - (entry["leaks"] if self._leaks else 0)

    def dataset(
        self, split: str, *, as_stored: bool = False, part: Part = WHOLE
    ) -> tf.data.Dataset:
        """Records of a split, in the order in which they were written.

        Args:
            split: `train`, `validation` or `test`.
            as_stored: Do not convert float16 to float32.
            part: The part of the split.

        Returns:
            Elements `id` string, `visual` float32 [T, Dv], `audio` float32 [T, Da], `valid` bool
            [T], `targets` int64 [T] (one class per segment, background is C) and `active` bool
            [T, C] (all classes); T may differ between elements.
        """
        decode = functools.partial(
            decode_record,
            visual_width=self.recipe.visual.width,
            audio_width=self.recipe.audio.width,
            dtype=self.dtype,
            as_stored=as_stored,
            labels=self.labels.names,
        )
        return self._without_leaks(
            self._records(split, part).map(
                decode, num_parallel_calls=len(os.sched_getaffinity(0)), deterministic=True
            )
        )

    def seconds(self, split: str, part: Part = WHOLE) -> tf.data.Dataset:
        """Records of a split without the features, at a third of the cost of `dataset`.

        Returns:
            Elements `id` string, `valid` bool [T], `targets` int64 [T] and `active` bool [T, C].
        """
        decode = functools.partial(decode_seconds, labels=self.labels.names)
        return self._without_leaks(
            self._records(split, part).map(
                decode, num_parallel_calls=len(os.sched_getaffinity(0)), deterministic=True
            )
        )

    def _without_leaks(self, records: tf.data.Dataset) -> tf.data.Dataset:
        if not self._leaks:
            return records
        leaks = tf.constant([os.fsencode(each) for each in self._leaks])

        @tf.autograph.experimental.do_not_convert
        def kept(record: dict[str, tf.Tensor]) -> tf.Tensor:
            video = tf.strings.regex_replace(record["id"], f"{AUGMENTED}[0-9]+$", "")
            return tf.reduce_all(tf.not_equal(video, leaks))

        return records.filter(kept)

    def _records(self, split: str, part: Part) -> tf.data.Dataset:
        files = [str(self.folder / name) for name in self._split(split)["shards"]]
        whole_files = len(files) >= part.count
        if whole_files:
            files = files[part.index :: part.count]
        # The writer distributes records to the shards in turn.
        records = without_autotune(tf.data.Dataset.from_tensor_slices(files)).interleave(
            tf.data.TFRecordDataset, cycle_length=len(files)
        )
        return records if whole_files else records.shard(part.count, part.index)

    def _split(self, split: str) -> dict[str, Any]:
        if split not in self._splits:
            raise FeatureStoreError(
                f"The feature store {self.folder} has no split {split!r}. "
                f"It has: {', '.join(self._splits)}."
            )
        return self._splits[split]


class FeatureStoreWriter:
    """Writer of a feature store, which appears complete or not at all.

    Args:
        folder: Folder of the store. An older feature store is replaced; another folder that is not
            empty is refused.
        recipe: Recipe of the features.
        labels: The classes.
        layout: Layout of the data set.
        dtype: `float32`, or `float16` at half the size.
        leaks: Ids of the examples that `FeatureStore(deleaked=True)` omits.
        source: The data set, `path` and `dataset` settings, to detect later changes of its
            annotations; None if there is none.
        weak_splits: Splits whose annotations name the events of a video without times.
        engine: The engine that computed the features.

    Raises:
        FeatureStoreError: The folder contains other files.

    Example:
        >>> with FeatureStoreWriter("features", recipe=..., labels=..., layout="table") as writer:
        ...     writer.write_split("train", records, expected=len(videos))
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        recipe: Recipe,
        labels: Labels,
        layout: str,
        dtype: str = "float32",
        leaks: Iterable[str] = (),
        source: dict[str, Any] | None = None,
        weak_splits: Iterable[str] = (),
        engine: EngineChoice | None = None,
    ) -> None:
        self.folder = Path(folder)
        if self.folder.exists() and not _may_be_replaced(self.folder):
            raise FeatureStoreError(
                f"{self.folder} exists and is not a feature store. "
                "Choose another --out, or remove it."
            )
        self.labels = labels
        self.dtype = known_dtype(dtype)
        self._leaks = frozenset(leaks)
        self._manifest: dict[str, Any] = {
            "schema": SCHEMA,
            "layout": layout,
            "labels": list(labels.names),
            "recipe": recipe.to_dict(),
            "feature_dtype": self.dtype,
            "leaks": sorted(self._leaks),
            "source": source,
            "splits": {},
            "skipped": [],
            "remarks": [],
        }
        if engine:
            self._manifest["engine"] = engine._asdict()
        if weak_splits := sorted(weak_splits):
            self._manifest["weak_splits"] = weak_splits
        self._partial = self.folder.with_name(f".{self.folder.name}.{os.getpid()}.partial")

    def __enter__(self) -> FeatureStoreWriter:
        # Left by a killed process of the same number.
        shutil.rmtree(self._partial, ignore_errors=True)
        self._partial.mkdir(parents=True)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            shutil.rmtree(self._partial)
            return
        text = json.dumps(self._manifest, indent=2, ensure_ascii=True)
        (self._partial / MANIFEST).write_text(text + "\n", encoding="utf-8")
        # Moved, not removed: a process killed in between loses no features.
        former = self._partial.with_suffix(".former")
        if self.folder.exists():
            self.folder.rename(former)
        self._partial.rename(self.folder)
        shutil.rmtree(former, ignore_errors=True)

    def write_split(
        self,
        name: str,
        records: Iterable[tuple[str, Features, Sequence[Annotation], np.ndarray]],
        *,
        expected: int,
    ) -> None:
        """Write the records of one split.

        Args:
            name: `train`, `validation` or `test`.
            records: Id, features, annotations and int64 [T] targets of each video.
            expected: Approximate number of records, which determines the number of shards.

        Raises:
            FeatureStoreError: `dtype` is float16 and a value exceeds its range.
        """
        shards = max(1, -(-expected // RECORDS_PER_SHARD))
        files = [f"{name}-{index:05d}-of-{shards:05d}.tfrecord" for index in range(shards)]
        writers = [tf.io.TFRecordWriter(str(self._partial / file)) for file in files]
        written = leaks = 0
        digest = hashlib.sha256()
        largest = {"visual": 0.0, "audio": 0.0}
        for record in records:
            if self.dtype == "float16":
                for stream, value in _magnitudes(*record[:2]).items():
                    largest[stream] = max(largest[stream], value)
            encoded = encode_record(*record, dtype=self.dtype)
            digest.update(encoded)
            writers[written % shards].write(encoded)
            written += 1
            leaks += record[0].split(AUGMENTED)[0] in self._leaks
        for writer in writers:
            writer.close()
        _require_normal(largest, name)
        self._manifest["splits"][name] = {
            "records": written,
            "leaks": leaks,
            "shards": files,
            "sha256": digest.hexdigest(),
        }

    def skip(self, video: str, split: str, reason: str) -> None:
        """Record a video without features."""
        self._manifest["skipped"].append({"video": video, "split": split, "reason": reason})

    def remark(self, video: str, split: str, reason: str) -> None:
        """Record a remark about a video with features."""
        self._manifest["remarks"].append({"video": video, "split": split, "reason": reason})


def _may_be_replaced(folder: Path) -> bool:
    """Return True if a folder is empty or contains only the files of a feature store.

    A training run also has a manifest of that name, so every file is checked.
    """
    if not folder.is_dir():
        return False
    return all(each.name == MANIFEST or each.suffix == ".tfrecord" for each in folder.iterdir())


def _magnitudes(video: str, features: Features) -> dict[str, float]:
    """Largest magnitude of each stream; refuses more than float16 can represent."""
    found = {}
    for stream in ("visual", "audio"):
        values = np.abs(getattr(features, stream))  # [T, D]
        found[stream] = largest = float(np.fmax.reduce(values, axis=None, initial=0.0))
        if largest > _FLOAT16_MAX:
            raise FeatureStoreError(
                f"The {stream} features of {video} reach {largest:g}, but float16 ends at "
                f"{_FLOAT16_MAX:g}. Set data.feature_dtype to float32; finished videos are not "
                "extracted again."
            )
    return found


def _require_normal(largest: dict[str, float], split: str) -> None:
    """Refuse features that are all below the normal range of float16."""
    for stream, value in largest.items():
        if 0.0 < value < _FLOAT16_NORMAL:
            raise FeatureStoreError(
                f"No {stream} feature of the split {split!r} is above {value:g}, but float16 loses "
                f"precision below {_FLOAT16_NORMAL:g}. Set data.feature_dtype to float32; finished "
                "videos are not extracted again."
            )
