"""Converts the shipped model for OpenVINO, so that a first use needs no TensorFlow.

    python -m pipelines.distill.converted

writes `avel_tf/pretrained/openvino`. Run it after every change of `avel_tf/pretrained/1`; then
`tests/pretrained/test_converted.py` tests it against TensorFlow.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from typing import Any

import numpy as np
import openvino
import tensorflow as tf
from openvino import opset13
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from avel_tf.engines.openvino_engine import EMBED, LABEL, function_of
from avel_tf.export.exported_model import ExportedModel
from avel_tf.pretrained import CONVERTED, CONVERTED_MANIFEST, FOLDER, find_pretrained

# Smaller constants are not worth an operation of their own.
LEAST_BYTES = 1_000


def main() -> None:
    """Write the graphs and the hashes by which they are known."""
    model = ExportedModel(find_pretrained())
    recipe, graphs = model.recipe, model.load_graphs()
    folder = FOLDER / CONVERTED
    folder.mkdir(exist_ok=True)
    for name in (EMBED, LABEL):
        network = _read_unfused(function_of(name, graphs, recipe))
        _halve(network)
        openvino.save_model(network, str(folder / f"{name}.xml"), compress_to_fp16=False)
    hashes = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.iterdir())
        if path.suffix in (".xml", ".bin")
    }
    manifest = {"fingerprint": model.fingerprint, "sha256": hashes}
    (folder / CONVERTED_MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", "utf-8")


def _read_unfused(function: Any) -> Any:
    """A concrete function as OpenVINO reads it from a file.

    `openvino.convert_model` would multiply the scales of batch normalization into the kernels,
    which float16 could not hold any more.
    """
    frozen = convert_variables_to_constants_v2(function)
    with tempfile.TemporaryDirectory() as folder:
        tf.io.write_graph(frozen.graph, folder, "frozen.pb", as_text=False)
        network = openvino.Core().read_model(os.path.join(folder, "frozen.pb"))
    # Read from a file, inputs and outputs come in the order of their names.
    inputs = [network.input(tensor.name).get_node() for tensor in frozen.inputs]
    values = [network.output(tensor.name).get_node() for tensor in frozen.outputs]
    return openvino.Model(values, inputs)


def _halve(network: Any) -> None:
    """Store constants as float16 where that loses nothing, as it does for `weights/*.npz`."""
    for node in network.get_ordered_ops():
        if node.get_type_name() != "Constant" or node.get_element_type() != openvino.Type.f32:
            continue
        with np.errstate(over="ignore"):
            half = node.data.astype(np.float16)
        if node.data.nbytes < LEAST_BYTES or not np.array_equal(half, node.data):
            continue
        wide = opset13.convert(opset13.constant(half), "f32")
        for target in node.output(0).get_target_inputs():
            target.replace_source_output(wide.output(0))


if __name__ == "__main__":
    main()
