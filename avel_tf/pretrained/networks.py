"""Networks of the pretrained localizer, converted by OpenVINO and stored without their weights.

With them the first use needs no TensorFlow. `python -m avel_tf.pretrained.networks` converts them
again. This is needed when the networks, the weights or the class table change; until then each
machine converts them by itself.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from avel_tf.embeddings.built_in_weights import (
    AUDIOSET_DISTILLED_FILE,
    efficientnet_lite2_file,
    efficientnet_lite2_weights,
    packaged_weights,
    sha256_of_weights,
)
from avel_tf.embeddings.class_columns import ClassColumns
from avel_tf.embeddings.recipe import Recipe, library_versions
from avel_tf.engines.network_files import WEIGHT, StoredNetwork
from avel_tf.engines.openvino_engine import AUDIO, EMBED, FRAMES, LABEL, convert
from avel_tf.export.exported_model import ExportedModel
from avel_tf.export.manifest import has_built_graphs
from avel_tf.pretrained.zero_shot import EMBEDDINGS, describe_zero_shot, package_parts
from avel_tf.utils.lazy_imports import load_openvino, load_tensorflow

if TYPE_CHECKING:
    from avel_tf.embeddings.extractor import FeatureExtractor
    from avel_tf.engines.engine import LoadedGraphs

FILE = Path(__file__).with_name("networks.npz")
# Backbones that each network consists of.
_BACKBONES = {EMBED: ("visual", "audio"), FRAMES: ("visual",), AUDIO: ("audio",), LABEL: ()}
_READ = {
    "visual": efficientnet_lite2_weights,
    "audio": lambda: packaged_weights(AUDIOSET_DISTILLED_FILE),
}


def stored_recipe() -> Recipe | None:
    """Recipe of the stored networks; None if they are those of other parts of the package.

    Raises:
        WeightsUnavailableError: The weights of EfficientNet-Lite2 are not installed.
    """
    with np.load(FILE, allow_pickle=False) as arrays:
        if str(arrays["package_parts"]) != package_parts():
            return None
        recipe = Recipe.from_dict(json.loads(str(arrays["recipe"])))
    efficientnet_lite2_file()
    return dataclasses.replace(recipe, versions=library_versions())


def loaded_recipe() -> Recipe:
    """Recipe of the backbones that Keras builds."""
    load_tensorflow()
    from avel_tf.export.zero_shot import shared_extractor

    return shared_extractor(EMBEDDINGS).recipe


def stored_network(model: ExportedModel, name: str) -> StoredNetwork | None:
    """Find the stored form of a network, with the weights that are installed.

    Args:
        model: Any exported model.
        name: Name of the network, as in `avel_tf.engines.openvino_engine`.

    Returns:
        The network, or None if the model has others: it has a SavedModel, other backbones or other
        classes; or if the installed OpenVINO is older than the one that converted them.
    """
    if not has_built_graphs(model.folder):
        return None
    with np.load(FILE, allow_pickle=False) as arrays:
        recipe = Recipe.from_dict(json.loads(str(arrays["recipe"])))
        if recipe.fingerprint != model.recipe.fingerprint:
            return None
        if name == LABEL and str(arrays["columns"]) != _columns_json(model.columns):
            return None
        if _version(str(arrays["openvino"])) > _version(importlib.metadata.version("openvino")):
            return None
        xml, constants = (arrays[f"{name}.{part}"].tobytes() for part in ("xml", "constants"))
        offsets = tuple(map(int, arrays[f"{name}.offsets"]))
    weights: list[np.ndarray] = []
    for part in _BACKBONES[name]:
        of_part = _READ[part]()
        if sha256_of_weights(of_part) != getattr(recipe, part).sha256:
            return None
        weights += of_part
    return StoredNetwork(xml, constants, offsets, weights)


def load_graphs() -> tuple[LoadedGraphs, FeatureExtractor]:
    """Build the networks in TensorFlow, for all classes of the table."""
    load_tensorflow()
    from avel_tf.embeddings.extractor import load_extractor
    from avel_tf.export.module import LocalizerModule
    from avel_tf.models.zero_shot import build_zero_shot

    extractor = load_extractor(EMBEDDINGS)
    columns = describe_zero_shot(extractor.recipe).columns
    head = build_zero_shot(extractor.recipe, columns)
    return LocalizerModule(extractor, head).graphs(), extractor


def convert_networks(names: Iterable[str] = tuple(_BACKBONES)) -> dict[str, Any]:
    """Convert networks, all by default; returns the arrays of the file."""
    recipe = loaded_recipe()
    arrays: dict[str, Any] = {
        "package_parts": package_parts(),
        "recipe": json.dumps(recipe.to_dict()),
        "columns": _columns_json(describe_zero_shot(recipe).columns),
        "openvino": importlib.metadata.version("openvino"),
    }
    for name in names:
        # Anew, because a function that was traced before has its weights as constants.
        graphs, extractor = load_graphs()
        backbones = [getattr(extractor, part) for part in _BACKBONES[name]]
        variables = [variable for each in backbones for variable in each.module.weights]
        model = convert(name, graphs, recipe, variables)
        weights = [variable.numpy() for variable in variables]
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, f"{name}.xml")
            _save_with_constants(model, weights, path)
            stored = StoredNetwork.of(path, weights)
        arrays[f"{name}.xml"] = np.frombuffer(stored.xml, np.uint8)
        arrays[f"{name}.constants"] = np.frombuffer(stored.constants, np.uint8)
        arrays[f"{name}.offsets"] = np.array(stored.offsets, np.int64)
    return arrays


def _save_with_constants(model: Any, weights: list[np.ndarray], path: Path) -> None:
    """Save an `openvino.Model` whose inputs `weight_N` have become constants."""
    openvino = load_openvino()
    inputs = {name: each.get_node() for each in model.inputs for name in each.get_names()}
    for number, weight in enumerate(weights):
        parameter = inputs[f"{WEIGHT}{number}"]
        constant = openvino.opset13.constant(weight, name=f"{WEIGHT}{number}")
        for each in list(parameter.output(0).get_target_inputs()):
            each.replace_source_output(constant.output(0))
        model.remove_parameter(parameter)
    model.validate_nodes_and_infer_types()
    openvino.save_model(model, path, compress_to_fp16=False)


def _columns_json(columns: ClassColumns | None) -> str:
    return json.dumps(columns and dataclasses.asdict(columns))


def _version(text: str) -> tuple[int, ...]:
    """Year and number of a release of OpenVINO."""
    return tuple(map(int, text.split(".")[:2]))


def main() -> None:
    """Write the networks beside this file."""
    np.savez_compressed(FILE, **convert_networks())
    print(f"{FILE}: {FILE.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
