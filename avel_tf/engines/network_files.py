"""Files of converted networks, in OpenVINO's format, changed without OpenVINO.

The format is an `.xml` with the operations and a `.bin` with the constants, the weights among them,
one after the other. A stored network has the `.xml` and what remains of the `.bin` without the
weights, a few kilobytes. Writing the weights between the remaining constants makes the converted
network again, without the library of the original.

Reference:
    https://docs.openvino.ai/2026/documentation/openvino-ir-format.html
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from avel_tf.utils.durable_files import publish

# Beginning of the name of a constant that is a weight; its number in the list of weights follows.
WEIGHT = "weight_"


@dataclass(frozen=True)
class StoredNetwork:
    """A converted network without its weights.

    Args:
        xml: Content of the `.xml`.
        constants: Content of the `.bin` without the weights.
        offsets: Place of each weight in the `.bin`, in bytes. Equal weights may share one.
        weights: The weights, float32, in the order of `offsets`.
    """

    xml: bytes
    constants: bytes
    offsets: tuple[int, ...]
    weights: Sequence[np.ndarray]

    @classmethod
    def of(cls, xml: Path, weights: Sequence[np.ndarray]) -> StoredNetwork:
        """Remove the weights from a converted network.

        Args:
            xml: The `.xml`, beside its `.bin`. Each weight is a constant `weight_N`.
            weights: The weights.

        Raises:
            ValueError: A constant is missing or differs from its weight.
        """
        places = {}
        for layer in ElementTree.parse(xml).getroot().iter("layer"):
            name, data = str(layer.get("name")), layer.find("data")
            if layer.get("type") == "Const" and name.startswith(WEIGHT) and data is not None:
                places[int(name.removeprefix(WEIGHT))] = int(data.get("offset", -1))
        content = xml.with_suffix(".bin").read_bytes()
        rest, position = b"", 0
        for number in sorted(places, key=lambda number: places[number]):
            start, expected = places[number], weights[number].tobytes()
            if start >= position:
                rest += content[position:start]
                position = start + len(expected)
            if content[start : start + len(expected)] != expected:
                raise ValueError(f"{xml} has other numbers than the weight {number}.")
        if sorted(places) != list(range(len(weights))):
            raise ValueError(
                f"{xml} has {len(places)} constants named {WEIGHT}N, expected {len(weights)}."
            )
        offsets = tuple(places[number] for number in range(len(weights)))
        return cls(xml.read_bytes(), rest + content[position:], offsets, weights)

    def write(self, folder: Path, name: str) -> None:
        """Write the converted network, as `NAME.xml` and `NAME.bin`."""
        # Weights at the same place are equal.
        weights = dict(zip(self.offsets, self.weights, strict=True))
        position = taken = 0
        with open(folder / f"{name}.bin", "wb") as file:
            for offset in sorted(weights):
                gap = offset - position
                file.write(self.constants[taken : taken + gap])
                file.write(np.ascontiguousarray(weights[offset]).data)
                taken += gap
                position = offset + weights[offset].nbytes
            file.write(self.constants[taken:])
        (folder / f"{name}.xml").write_bytes(self.xml)


def with_batch(xml: Path, batch: int) -> Path:
    """Write a network whose inputs have a fixed batch size, beside the original.

    Such a file can be compiled by its path. To change the shapes of a network that OpenVINO has
    read takes longer than to load it from the cache of compiled networks.

    Args:
        xml: The `.xml`, beside its `.bin`.
        batch: Size of the first axis of all inputs.

    Returns:
        The `.xml` of the new network, which is written once.
    """
    target = xml.with_stem(f"{xml.stem}-{batch}")
    if not target.is_file():
        tree = ElementTree.parse(xml)
        # Not those of the bodies of loops, which are further down.
        for layer in tree.getroot().iterfind("layers/layer"):
            if layer.get("type") == "Parameter" and (data := layer.find("data")) is not None:
                _, *others = str(data.get("shape")).split(",")
                data.set("shape", ",".join([str(batch), *others]))
        with tempfile.TemporaryDirectory(dir=xml.parent) as folder:
            constants, operations = Path(folder, "network.bin"), Path(folder, "network.xml")
            tree.write(operations, encoding="utf-8", xml_declaration=True)
            # Both networks have the same constants.
            try:
                constants.hardlink_to(xml.with_suffix(".bin"))
            except OSError:  # a file system without links
                shutil.copyfile(xml.with_suffix(".bin"), constants)
            publish(constants, target.with_suffix(".bin"))
            publish(operations, target)
    return target
