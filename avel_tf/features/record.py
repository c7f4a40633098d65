"""Records of a feature store: `SequenceExample` with the keys of MediaSequence."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from avel_tf.datasets import Annotation
from avel_tf.features.features import Features

_MICROSECONDS = 1_000_000
_SECONDS = {
    "SECOND/valid": tf.io.FixedLenSequenceFeature([], tf.int64),
    "SECOND/label/index": tf.io.FixedLenSequenceFeature([], tf.int64),
}
_CONTEXT = {
    "clip/media_id": tf.io.FixedLenFeature([], tf.string),
    "segment/start/timestamp": tf.io.VarLenFeature(tf.int64),
    "segment/end/timestamp": tf.io.VarLenFeature(tf.int64),
    "segment/label/string": tf.io.VarLenFeature(tf.string),
}


def encode_record(
    video: str,
    features: Features,
    annotations: Sequence[Annotation],
    targets: np.ndarray,
    *,
    dtype: str = "float32",
) -> bytes:
    """Serialise one video as a `SequenceExample`.

    Args:
        video: Its id.
        features: Visual [T, Dv], audio [T, Da] and valid [T].
        annotations: Its events.
        targets: int64 [T].
        dtype: `float32` writes MediaSequence's `.../feature/floats`. Protocol buffers have no
            shorter float, so `float16` writes little-endian bytes as `.../feature/float16`.

    Returns:
        The bytes, the same for the same arguments.

    Reference:
        https://github.com/google-ai-edge/mediapipe (util/sequence/media_sequence.h); `SECOND/...`
        and `.../feature/float16` are this project's own.
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
            if dtype == "float16":
                half = vectors[second].astype("<f2").tobytes()
                lists[f"{prefix}/feature/float16"].feature.add().bytes_list.value.append(half)
            else:
                floats = lists[f"{prefix}/feature/floats"].feature.add().float_list.value
                floats.extend(vectors[second])
            lists[f"{prefix}/feature/timestamp"].feature.add().int64_list.value.append(
                second * _MICROSECONDS
            )
        lists["SECOND/valid"].feature.add().int64_list.value.append(int(features.valid[second]))
        lists["SECOND/label/index"].feature.add().int64_list.value.append(int(targets[second]))
    return example.SerializeToString(deterministic=True)


@tf.autograph.experimental.do_not_convert
def decode_record(
    record: tf.Tensor,
    *,
    visual_width: int,
    audio_width: int,
    dtype: str = "float32",
    as_stored: bool = False,
    labels: Sequence[str] = (),
) -> dict[str, tf.Tensor]:
    """Parse a record of `encode_record` to tensors.

    Args:
        record: The bytes.
        visual_width: Dv.
        audio_width: Da.
        dtype: Stored type.
        as_stored: Do not convert float16 to float32.
        labels: The classes in the order of their indices.

    Returns:
        `id` string, `visual` float32 [T, Dv], `audio` float32 [T, Da], `valid` bool [T], `targets`
        int64 [T], one class per segment, and `active` bool [T, C], all classes of a segment.
    """
    widths = {"visual": ("RGB", visual_width), "audio": ("AUDIO", audio_width)}
    half = dtype == "float16"
    keys = {
        name: (f"{prefix}/feature/float16" if half else f"{prefix}/feature/floats", width)
        for name, (prefix, width) in widths.items()
    }
    context, lists = tf.io.parse_single_sequence_example(
        record,
        context_features=_CONTEXT,
        sequence_features={
            **_SECONDS,
            **{
                key: tf.io.FixedLenSequenceFeature([], tf.string)
                if half
                else tf.io.FixedLenSequenceFeature([width], tf.float32)
                for key, width in keys.values()
            },
        },
    )
    columns = {}
    for name, (key, width) in keys.items():
        columns[name] = lists[key]  # [T, D], or [T] strings of 2 D bytes
        if half:
            values = tf.io.decode_raw(lists[key], tf.float16, little_endian=True)  # [T, D]
            # The width of decode_raw is unknown without any segment.
            values = tf.reshape(values, [tf.size(lists[key]), width])  # [T, D]
            columns[name] = values if as_stored else tf.cast(values, tf.float32)
    return {**_of_seconds(context, lists, labels), **columns}


@tf.autograph.experimental.do_not_convert
def decode_seconds(record: tf.Tensor, *, labels: Sequence[str] = ()) -> dict[str, tf.Tensor]:
    """Parse a record without its features: `id`, `valid`, `targets` and `active`."""
    context, lists = tf.io.parse_single_sequence_example(
        record, context_features=_CONTEXT, sequence_features=_SECONDS
    )
    return _of_seconds(context, lists, labels)


def _of_seconds(
    context: dict[str, tf.Tensor], lists: dict[str, tf.Tensor], labels: Sequence[str]
) -> dict[str, tf.Tensor]:
    targets = lists["SECOND/label/index"]  # [T]
    return {
        "id": context["clip/media_id"],
        "valid": tf.cast(lists["SECOND/valid"], tf.bool),
        "targets": targets,
        "active": _active(context, targets, labels),
    }


def _active(context: dict[str, tf.Tensor], targets: tf.Tensor, labels: Sequence[str]) -> tf.Tensor:
    """Classes of each segment, bool [T, C], by the rule of `datasets.segment_labels`.

    Records have always contained their events with times, so this also works for stores that were
    written before multi-label support. The stored label of a segment is included.
    """
    names = tf.constant([name.encode() for name in labels], tf.string)  # [C]
    start = context["segment/start/timestamp"].values[:, None]  # [E, 1]
    end = context["segment/end/timestamp"].values[:, None]  # [E, 1]
    middles = tf.range(tf.size(targets, tf.int64)) * _MICROSECONDS + _MICROSECONDS // 2  # [T]
    covered = (start <= middles) & (middles < end)  # [E, T]
    named = context["segment/label/string"].values[:, None] == names  # [E, C]
    active = tf.reduce_any(covered[:, :, None] & named[:, None, :], axis=0)  # [T, C]
    return active | (targets[:, None] == tf.range(len(labels), dtype=tf.int64))
