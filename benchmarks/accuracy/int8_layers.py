"""Audio embeddings in int8 beside float32, by the layers that are quantized.

    python benchmarks/accuracy/int8_layers.py CLIPS --model SAVED_MODEL [--images N]

Shows why the first convolution and dense layers stay in float (docs/design/engines.md). The network
is calibrated and compared on the same segments, at most 8 images of each file.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from avel_tf.config import resolve_config
from avel_tf.engines import quantization, quantize_network
from avel_tf.engines.openvino_engine import EMBED, convert
from avel_tf.engines.sample import SampleFiles
from avel_tf.inference.pipeline import InferencePipeline
from avel_tf.utils.lazy_imports import load_openvino


def main() -> None:
    """Print a row for each choice of layers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clips", type=Path, help="folder of clips, of any depth")
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--images", type=int, default=64)
    options = parser.parse_args()

    graphs, media = InferencePipeline(options.model)._graphs, resolve_config(None).media
    files = SampleFiles(sorted(options.clips.rglob("*.mp4")), graphs.recipe, media)
    with mock.patch.object(quantization, "IMAGES", options.images):
        count, frames, waveform = quantization._calibration_segments(files, graphs)
    print(f"{len(frames)} segments of {count} files")
    openvino = load_openvino()
    core = openvino.Core()
    with tempfile.TemporaryDirectory() as folder:
        path, sample, made = (Path(folder, name) for name in ("e.xml", "s.npz", "q.xml"))
        openvino.save_model(
            convert(EMBED, graphs.loaded, graphs.recipe), path, compress_to_fp16=False
        )
        np.savez(sample, frames=frames, waveform=waveform)
        network = core.read_model(path)
        kept = quantize_network._kept_in_float(network)
        exact = audio_embeddings(core, path, frames, waveform)
        convolutions = [
            node.get_friendly_name()
            for node in network.get_ordered_ops()
            if node.get_type_name() in quantize_network._CONVOLUTIONS
        ]
        first = kept & set(convolutions)
        dense = {
            node.get_friendly_name()
            for node in network.get_ops()
            if node.get_type_name() == "MatMul" and node.get_friendly_name() in kept
        }
        for name, free in (
            ("all convolutions but the first", set()),
            ("all convolutions", first),
            ("all convolutions but the first, and dense layers", dense),
        ):
            with mock.patch.object(quantize_network, "_kept_in_float", return_value=kept - free):
                quantize_network.quantize(core, path, sample, made)
            found = audio_embeddings(core, made, frames, waveform)
            lengths = np.linalg.norm(exact, axis=-1) * np.linalg.norm(found, axis=-1)
            cosines = (exact * found).sum(-1) / np.maximum(lengths, 1e-12)
            print(f"{name}: smallest {cosines.min():.4f}, median {np.median(cosines):.4f}")


def audio_embeddings(core: Any, path: Path, frames: np.ndarray, waveform: np.ndarray) -> np.ndarray:
    """Audio embeddings [N, Da] of segments, computed in float32 where they are not quantized."""
    network = core.compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    rows = [
        network([frames[place : place + 1], waveform[place : place + 1]])[network.outputs[1]]
        for place in range(len(frames))
    ]
    return np.concatenate(rows).reshape(len(frames), -1)


if __name__ == "__main__":
    main()
