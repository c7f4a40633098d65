"""ResNet-152 V2 and VGGish with random weights, and exported models that hold them, or `compact`.

    python benchmarks/networks.py SCRATCH [compact] [large]

Speed does not depend on the values of weights, so nothing is downloaded. Biases and normalisations
are random as well, because engines remove additions of zero.
"""

from __future__ import annotations

import importlib.util
import json
import math
import os
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np

SIZE = 224
# The F of the exported models, by their backbones.
RATES = {"large": (1, 16), "compact": (1, 2)}
# A residual branch with a 25th of the variance keeps the sum bounded over 50 blocks.
BRANCH_SCALE = 0.2


def build(scratch: Path, wanted: Iterable[str] = RATES) -> None:
    """Create what is missing of `models/` and, with `large`, of `modules/` and `weights/`."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    for backbones in wanted:
        ready = scratch / f"ready-{backbones}"
        if ready.exists():
            continue
        if backbones == "large":
            for name in ("modules", "weights"):
                shutil.rmtree(scratch / name, ignore_errors=True)
                (scratch / name).mkdir(parents=True)
            _write_modules(scratch)
        for rate in RATES[backbones]:
            shutil.rmtree(scratch / "models" / f"{backbones}-f{rate}", ignore_errors=True)
            _export(scratch, backbones, rate)
            _compile(scratch, backbones, rate)
        ready.touch()


def _write_modules(scratch: Path) -> None:
    import keras
    import tensorflow as tf
    from vggish import Vggish, mel_matrix

    resnet = keras.applications.ResNet152V2(
        include_top=False, weights=None, input_shape=(SIZE, SIZE, 3), pooling="avg"
    )
    vggish = Vggish()
    _randomize(resnet, seed=0)
    _randomize(vggish.network, seed=1)

    visual = tf.Module()
    visual.network = resnet

    @tf.function(input_signature=[tf.TensorSpec([None, SIZE, SIZE, 3], tf.float32)])
    def embed(pictures: tf.Tensor) -> tf.Tensor:
        """[B, 224, 224, 3] in [0, 1] to [B, 2048]; V2 networks use [-1, 1] inside."""
        return resnet(2 * pictures - 1, training=False)

    visual.__call__ = embed
    tf.saved_model.save(visual, str(scratch / "modules" / "visual"))
    tf.saved_model.save(vggish, str(scratch / "modules" / "audio"))
    np.savez(scratch / "weights" / "visual.npz", **_weights(resnet))
    np.savez(
        scratch / "weights" / "audio.npz", mel=mel_matrix().numpy(), **_weights(vggish.network)
    )
    flops = {"image": _flops(resnet), "second of sound": _flops(vggish.network)}
    (scratch / "flops.json").write_text(json.dumps(flops))


def _randomize(model, seed: int) -> None:
    generator = np.random.default_rng(seed)
    for layer in model.layers:
        for weight in layer.weights:
            weight.assign(_draw(generator, layer.name, weight.name, tuple(weight.shape)))


def _draw(generator: np.random.Generator, layer: str, name: str, shape: tuple[int, ...]):
    if name == "kernel":
        scale = math.sqrt(2 / math.prod(shape[:-1]))  # He et al. 2015
        return generator.normal(
            0, scale * (BRANCH_SCALE if layer.endswith("_3_conv") else 1), shape
        )
    if name in ("gamma", "moving_variance"):
        return generator.uniform(0.8, 1.2, shape)
    return generator.normal(0, 0.1, shape)


def _weights(model) -> dict[str, np.ndarray]:
    return {
        f"{layer.name}/{weight.name}": weight.numpy()
        for layer in model.layers
        for weight in layer.weights
    }


def _flops(model) -> int:
    """Additions and multiplications of the convolutions and matrices, for one input."""
    from keras import layers

    total = 0
    for layer in model.layers:
        if isinstance(layer, layers.Conv2D | layers.Dense):
            places = math.prod(layer.output.shape[1:-1])
            total += 2 * places * math.prod(layer.kernel.shape)
    return total


def _export(scratch: Path, backbones: str, rate: int) -> None:
    """Backbones and an untrained head in `models/BACKBONES-fRATE/1`."""
    from avel_tf.config import Config
    from avel_tf.embeddings import AudioSettings, EmbeddingSettings, VisualSettings, load_extractor
    from avel_tf.events.labels import AVE_CLASSES, Labels
    from avel_tf.export.saved_model import export_saved_model
    from avel_tf.models import ModelSettings
    from avel_tf.models import build as build_model

    visual = audio = "compact"
    if backbones == "large":
        visual, audio = (str(scratch / "modules" / name) for name in ("visual", "audio"))
    embeddings = EmbeddingSettings(
        VisualSettings(visual, frames_per_second=rate), AudioSettings(audio)
    )
    extractor = load_extractor(embeddings)
    head = build_model(
        ModelSettings(),
        visual_width=extractor.visual.width,
        audio_width=extractor.audio.width,
        classes=len(AVE_CLASSES),
    )
    export_saved_model(
        head,
        extractor,
        scratch / "models" / f"{backbones}-f{rate}",
        labels=Labels(AVE_CLASSES),
        config_yaml=Config(embeddings=embeddings).to_yaml(),
    )


def _compile(scratch: Path, backbones: str, rate: int) -> None:
    """Fill OpenVINO's cache, so that measured processes need not load TensorFlow."""
    from machine import precisions
    from ours import Model

    if importlib.util.find_spec("openvino") is None:
        return
    for precision in precisions():
        model = Model(scratch, "openvino", precision, rate, backbones)
        model.embed(rate)
        model.predict(1, 1)


if __name__ == "__main__":
    build(Path(sys.argv[1]), sys.argv[2:] or RATES)
