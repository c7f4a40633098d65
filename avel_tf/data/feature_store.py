"""Features on disk: TFRecord shards beside a manifest."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from avel_tf.annotations import Annotation
from avel_tf.data.features import Features
from avel_tf.embeddings.recipe import Recipe
from avel_tf.labels import Labels

SCHEMA = 1
MANIFEST = "manifest.json"
SPLITS = ("train", "validation", "test")
# About 100 MB a shard with ResNet-152 and VGGish at ten seconds a clip, TensorFlow's own advice
# for TFRecord files (https://www.tensorflow.org/guide/data_performance).
RECORDS_PER_SHARD = 1_024
_MICROSECONDS = 1_000_000


class FeatureStoreError(ValueError):
    """A folder that is not a feature store, or one that cannot be used as asked."""


class FeatureStore:
    """A folder of features and the manifest that says how they were made.

    Args:
        folder: What `avel extract` or `FeatureStoreWriter` wrote.

    Attributes:
        recipe: How the features were made.
        labels: The classes.
        layout: The layout of the data set they come from.
        skipped: `{"video", "split", "reason"}` of each video that gave no features.

    Raises:
        FeatureStoreError: When the folder holds no readable manifest.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        path = self.folder / MANIFEST
        try:
            self.manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            self.recipe = Recipe.from_dict(self.manifest["recipe"])
            self.labels = Labels(self.manifest["labels"])
            self.layout: str = self.manifest["layout"]
            self.skipped: list[dict[str, str]] = self.manifest["skipped"]
            self._splits: dict[str, dict[str, Any]] = self.manifest["splits"]
        except OSError as error:
            raise FeatureStoreError(
                f"{self.folder} is no feature store: its {MANIFEST} cannot be read "
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

    def count(self, split: str) -> int:
        """Number of records of a split."""
        return self._split(split)["records"]

    def dataset(self, split: str) -> tf.data.Dataset:
        """The records of a split, in the order in which they were written.

        Returns:
            Elements `id` string, `visual` float32 [T, Dv], `audio` float32 [T, Da], `valid` bool
            [T] and `targets` int64 [T] (background is C); T may differ between elements.
        """
        files = [str(self.folder / name) for name in self._split(split)["shards"]]
        # The writer deals records out to the shards one by one; so they are picked up again.
        records = tf.data.Dataset.from_tensor_slices(files).interleave(
            tf.data.TFRecordDataset, cycle_length=len(files)
        )
        return records.map(self._parse, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)

    def _split(self, split: str) -> dict[str, Any]:
        if split not in self._splits:
            raise FeatureStoreError(
                f"The feature store {self.folder} has no split {split!r}. "
                f"It has: {', '.join(self._splits)}."
            )
        return self._splits[split]

    def _parse(self, record: tf.Tensor) -> dict[str, tf.Tensor]:
        context, lists = tf.io.parse_single_sequence_example(
            record,
            context_features={"clip/media_id": tf.io.FixedLenFeature([], tf.string)},
            sequence_features={
                "RGB/feature/floats": tf.io.FixedLenSequenceFeature(
                    [self.recipe.visual.width], tf.float32
                ),
                "AUDIO/feature/floats": tf.io.FixedLenSequenceFeature(
                    [self.recipe.audio.width], tf.float32
                ),
                "SECOND/valid": tf.io.FixedLenSequenceFeature([], tf.int64),
                "SECOND/label/index": tf.io.FixedLenSequenceFeature([], tf.int64),
            },
        )
        return {
            "id": context["clip/media_id"],
            "visual": lists["RGB/feature/floats"],
            "audio": lists["AUDIO/feature/floats"],
            "valid": tf.cast(lists["SECOND/valid"], tf.bool),
            "targets": lists["SECOND/label/index"],
        }


class FeatureStoreWriter:
    """Writes a feature store; the folder appears when all of it is there, or not at all.

    Args:
        folder: Where it shall lie. An older feature store there is replaced; any other folder
            that is not empty is refused.

    Raises:
        FeatureStoreError: When the folder holds something else.

    Example:
        >>> with FeatureStoreWriter("features", recipe=..., labels=..., layout="table") as writer:
        ...     writer.write_split("train", records, expected=len(videos))
    """

    def __init__(self, folder: str | Path, *, recipe: Recipe, labels: Labels, layout: str) -> None:
        self.folder = Path(folder)
        if self.folder.exists() and not _may_be_replaced(self.folder):
            raise FeatureStoreError(
                f"{self.folder} exists and is no feature store. Choose another --out, or remove it."
            )
        self.labels = labels
        self._manifest: dict[str, Any] = {
            "schema": SCHEMA,
            "layout": layout,
            "labels": list(labels.names),
            "recipe": recipe.to_dict(),
            "splits": {},
            "skipped": [],
            "remarks": [],
        }
        self._partial = self.folder.with_name(f".{self.folder.name}.{os.getpid()}.partial")

    def __enter__(self) -> FeatureStoreWriter:
        # A process of the same number may have been killed while it wrote here.
        shutil.rmtree(self._partial, ignore_errors=True)
        self._partial.mkdir(parents=True)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            shutil.rmtree(self._partial)
            return
        text = json.dumps(self._manifest, indent=2, ensure_ascii=True)
        (self._partial / MANIFEST).write_text(text + "\n", encoding="utf-8")
        # Moved aside, not removed first: a process killed in between loses no features.
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
            expected: About how many there will be; decides the number of shards.
        """
        shards = max(1, -(-expected // RECORDS_PER_SHARD))
        files = [f"{name}-{index:05d}-of-{shards:05d}.tfrecord" for index in range(shards)]
        writers = [tf.io.TFRecordWriter(str(self._partial / file)) for file in files]
        written = 0
        for record in records:
            writers[written % shards].write(_serialise(*record))
            written += 1
        for writer in writers:
            writer.close()
        self._manifest["splits"][name] = {"records": written, "shards": files}

    def skip(self, video: str, split: str, reason: str) -> None:
        """Note a video that gave no features."""
        self._manifest["skipped"].append({"video": video, "split": split, "reason": reason})

    def remark(self, video: str, split: str, reason: str) -> None:
        """Note what is odd about a video that did give features."""
        self._manifest["remarks"].append({"video": video, "split": split, "reason": reason})


def _may_be_replaced(folder: Path) -> bool:
    """Whether a folder holds nothing, or nothing but a feature store.

    A training run has a manifest of that name, too, so each file has to be one of ours.
    """
    if not folder.is_dir():
        return False
    return all(each.name == MANIFEST or each.suffix == ".tfrecord" for each in folder.iterdir())


def _serialise(
    video: str, features: Features, annotations: Sequence[Annotation], targets: np.ndarray
) -> bytes:
    """One video as a `SequenceExample` with MediaSequence's keys.

    Reference:
        https://github.com/google-ai-edge/mediapipe (util/sequence/media_sequence.h); `SECOND/...`
        are this project's own.
    """
    seconds = len(features.valid)
    example = tf.train.SequenceExample()
    context = example.context.feature
    context["clip/media_id"].bytes_list.value.append(os.fsencode(video))
    context["clip/start/timestamp"].int64_list.value.append(0)
    context["clip/end/timestamp"].int64_list.value.append(seconds * _MICROSECONDS)
    for annotation in annotations:
        for key, time in (("start", annotation.start), ("end", annotation.end)):
            context[f"segment/{key}/timestamp"].int64_list.value.append(round(time * _MICROSECONDS))
        context["segment/label/string"].bytes_list.value.append(annotation.label.encode())
    lists = example.feature_lists.feature_list
    for second in range(seconds):
        for prefix, vectors in (("RGB", features.visual), ("AUDIO", features.audio)):
            lists[f"{prefix}/feature/floats"].feature.add().float_list.value.extend(vectors[second])
            lists[f"{prefix}/feature/timestamp"].feature.add().int64_list.value.append(
                second * _MICROSECONDS
            )
        lists["SECOND/valid"].feature.add().int64_list.value.append(int(features.valid[second]))
        lists["SECOND/label/index"].feature.add().int64_list.value.append(int(targets[second]))
    return example.SerializeToString(deterministic=True)
