"""The project's own two small backbones: trained by us, shipped in the package.

What they learned from, how well they tell things apart and where they end stands in
docs/design/backbones.md and in `weights/model_card.md`.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import keras
import numpy as np

from avel_tf.embeddings import compact_visual
from avel_tf.embeddings.compact_audio import audio_network
from avel_tf.embeddings.compact_visual import visual_network

NAME = "compact"
VISUAL_SIZE = compact_visual.SIZE
WEIGHTS = Path(__file__).parent / "weights"


def visual_backbone(*, maps: bool = False) -> keras.Model:
    """Pictures float32 [N, 160, 160, 3] in [0, 1] to vectors [N, 768], or to maps [N, 5, 5, 384].

    The mean and the maximum over a map's places are the vector.
    """
    return _trained(visual_network(maps=maps), WEIGHTS / "visual.npz")


def audio_backbone() -> keras.Model:
    """Seconds of sound float32 [N, 16000] to vectors float32 [N, Da]."""
    return _trained(audio_network(), WEIGHTS / "audio.npz")


def sha256_of(model: keras.Model) -> str:
    """Hash of a backbone's weights, in the order of its layers."""
    digest = hashlib.sha256()
    for weight in model.get_weights():
        digest.update(str(weight.shape).encode())
        digest.update(np.ascontiguousarray(weight, dtype="<f4").tobytes())
    return digest.hexdigest()


def _trained(network: keras.Model, path: Path) -> keras.Model:
    """Puts the shipped weights in: float16 on disk, half the download; float32 in use."""
    with np.load(path, allow_pickle=False) as arrays:
        network.set_weights([arrays[name].astype(np.float32) for name in sorted(arrays.files)])
    network.trainable = False
    return network
