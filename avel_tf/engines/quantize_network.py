"""Quantization of a network to int8, in the child process that runs OpenVINO."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from avel_tf.utils.lazy_imports import load_openvino

# Operations with weights, which are nearly all of the time of a network.
_CONVOLUTIONS = ("Convolution", "GroupConvolution")
_LAYERS = (*_CONVOLUTIONS, "MatMul")


def quantize(core: Any, path: Path, sample: Path, to: Path) -> dict[str, int]:
    """Quantize the convolutions of the backbones after training, by NNCF.

    What stays in float changes embeddings much when it is quantized, and takes little of the time
    (docs/design/engines.md): the log-mel spectrogram, the first convolution on it, and all dense
    layers, some of which compute class scores.

    Args:
        core: OpenVINO's core.
        path: The `.xml` of the network, with the inputs frames uint8 [N, F, H, W, 3] and waveform
            float32 [N, 16000].
        sample: A `.npz` of `frames` and `waveform`, over which the ranges of activations are
            measured.
        to: The `.xml` to write, with a `.bin` beside it.

    Returns:
        `quantized` and `float`: the number of convolutions and dense layers of either kind.

    Raises:
        ValueError: The network has no convolution that can be quantized.

    Reference:
        Jacob et al., Quantization and Training of Neural Networks for Efficient
        Integer-Arithmetic-Only Inference, CVPR 2018.
    """
    openvino = load_openvino()
    import nncf

    nncf.set_log_level(logging.ERROR)
    model = core.read_model(path)
    layers = [node for node in model.get_ordered_ops() if node.get_type_name() in _LAYERS]
    kept = _kept_in_float(model)
    quantized = [node for node in layers if node.get_friendly_name() not in kept]
    if not quantized:
        raise ValueError("its backbones have no convolution")
    with np.load(sample, allow_pickle=False) as arrays:
        frames, waveform = arrays["frames"], arrays["waveform"]
    calls = [(frames[i : i + 1], waveform[i : i + 1]) for i in range(len(frames))]
    model = nncf.quantize(
        model,
        nncf.Dataset(calls),
        subset_size=len(calls),
        # Activations may be asymmetric: not all of them follow a ReLU.
        preset=nncf.QuantizationPreset.MIXED,
        ignored_scope=nncf.IgnoredScope(names=sorted(kept), validate=False),
    )
    openvino.save_model(model, to, compress_to_fp16=False)
    return {"quantized": len(quantized), "float": len(layers) - len(quantized)}


def _kept_in_float(model: Any) -> set[str]:
    """Names of dense layers, and of what depends on audio but for convolutions after the first."""
    dependent: list[Any] = []
    names: set[str] = set()
    for node in model.get_ordered_ops():
        sources = (each.get_source_output().get_node() for each in node.inputs())
        if _is_audio(node) or _any_in(sources, names):
            dependent.append(node)
            names.add(node.get_friendly_name())
    convolutions = [node for node in dependent if node.get_type_name() in _CONVOLUTIONS]
    names -= {node.get_friendly_name() for node in convolutions[1:]}
    skipped = ("Parameter", "Result", "Constant")
    return {
        node.get_friendly_name()
        for node in model.get_ops()
        if node.get_type_name() not in skipped
        and (node.get_type_name() == "MatMul" or node.get_friendly_name() in names)
    }


def _is_audio(node: Any) -> bool:
    """True for the input [N, 16000]; frames have five axes."""
    return node.get_type_name() == "Parameter" and len(node.get_output_partial_shape(0)) == 2


def _any_in(nodes: Iterable[Any], names: set[str]) -> bool:
    return any(node.get_friendly_name() in names for node in nodes)
