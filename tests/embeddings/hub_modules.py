"""SavedModels with the signatures of TF-Hub's modules, and small random weights."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

# VGGish's frame: 0.96 s at 16 kHz, one after the other.
FRAME = 15_360


def save(
    folder: Path, function: Callable, shape: list[int | None], *variables: tf.Variable
) -> Path:
    """Write a function of one tensor as a module that `hub.load` can call."""
    module = tf.Module()
    module.kept = list(variables)
    module.__call__ = tf.function(function, input_signature=[tf.TensorSpec(shape, tf.float32)])
    tf.saved_model.save(module, str(folder))
    return folder


def mixture(inputs: int, width: int, seed: int) -> tf.Variable:
    """Random weights [inputs, width]."""
    return tf.Variable(np.random.default_rng(seed).normal(size=(inputs, width)).astype("float32"))


def save_visual(folder: Path, width: int = 2048, size: int | None = 224, seed: int = 7) -> Path:
    """Like an image feature vector of TF-Hub: [B, size, size, 3] to [B, width]."""
    weights = mixture(192, width, seed)

    def look(pictures: tf.Tensor) -> tf.Tensor:
        grid = tf.image.resize(pictures, [8, 8])  # [B, 8, 8, 3]
        return tf.reshape(grid, [-1, 192]) @ weights  # [B, width]

    return save(folder, look, [None, size, size, 3], weights)


def save_visual_with_endpoints(folder: Path, size: int = 32, seed: int = 7) -> Path:
    """Like a ResNet of TF-Hub: `return_endpoints=True` gives the layers on its way, too.

    Its last map has 4 x 4 places of 6 channels; the vector is the mean of what a ReLU leaves of it,
    as in ResNet V2, whose last norm and ReLU stand behind the last block.
    """
    early, late, within = (mixture(3, 6, seed + n) for n in range(3))

    def look(pictures: tf.Tensor, training: bool = False, return_endpoints: bool = False) -> Any:
        coarse = tf.nn.avg_pool2d(pictures, size // 8, size // 8, "VALID")  # [B, 8, 8, 3]
        small = tf.nn.avg_pool2d(pictures, size // 4, size // 4, "VALID")  # [B, 4, 4, 3]
        block4 = (small - 0.5) @ late  # [B, 4, 4, 6]
        pooled = tf.reduce_mean(tf.nn.relu(block4), [1, 2], keepdims=True)  # [B, 1, 1, 6]
        vectors = pooled[:, 0, 0]  # [B, 6]
        if not return_endpoints:
            return vectors
        return {
            "default": vectors,
            "resnet_v2_9/block2": coarse @ early,  # [B, 8, 8, 6]
            "resnet_v2_9/block3": small,  # [B, 4, 4, 3]
            "resnet_v2_9/block4": block4,
            "resnet_v2_9/block4/unit_3/bottleneck_v2": block4,
            "resnet_v2_9/block4/unit_3/bottleneck_v2/conv3": small @ within,  # [B, 4, 4, 6]
            "resnet_v2_9/global_pool": pooled,
            "resnet_v2_9/logits": tf.tile(pooled, [1, 1, 1, 9]),  # [B, 1, 1, 54]
        }

    module = tf.Module()
    module.kept = [early, late, within]
    module.__call__ = tf.function(look)
    spec = tf.TensorSpec([None, size, size, 3], tf.float32)
    for endpoints in (False, True):
        module.__call__.get_concrete_function(spec, training=False, return_endpoints=endpoints)
    tf.saved_model.save(module, str(folder))
    return folder


def hear(waveform: tf.Tensor, hop: int = FRAME) -> tf.Tensor:
    """Three facts about each whole 0.96 s of sound, [frames, 3]."""
    frames = tf.signal.frame(waveform, FRAME, hop)
    return tf.stack(
        [
            tf.reduce_mean(tf.abs(frames), -1),
            tf.reduce_mean(tf.abs(frames[:, 1:] - frames[:, :-1]), -1),
            tf.reduce_mean(frames, -1),
        ],
        -1,
    )


def save_audio(folder: Path, width: int = 128, hop: int = FRAME, seed: int = 8) -> Path:
    """Like VGGish: [n] to [frames, width], before the ReLU, so half of it is negative."""
    weights = mixture(3, width, seed)
    return save(folder, lambda sound: hear(sound, hop) @ weights, [None], weights)


def cache_place(cache: Path, handle: str) -> Path:
    """Where TF-Hub looks for a handle: the sha1 of its text."""
    return cache / hashlib.sha1(handle.encode()).hexdigest()


def no_network(*_: Any, **__: Any) -> Any:
    """Stands in for a download, and fails as one does without a network."""
    raise OSError("<urlopen error [Errno -3] Temporary failure in name resolution>")
