"""Loading of trained models."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import keras

# The import of layers registers every class that a file may name.
from avel_tf.models.layers import FeatureNormalization
from avel_tf.models.settings import MODELS

_INPUTS = {"audio", "valid", "visual"}


def load_model(path: str | os.PathLike[str]) -> keras.Model:
    """Reads a model that `model.save("....keras")` wrote, without running code from the file.

    Args:
        path: a `.keras` file of one of `MODELS`.

    Returns:
        The model, not compiled: the loss belongs to training, not to the file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not a `.keras` file, or holds another kind of model.

    Example:
        >>> model = load_model("runs/first/model.keras")
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"There is no model file at {path}. Training writes it as RUN/model.keras."
        )
    if path.suffix != ".keras" or not zipfile.is_zipfile(path):
        raise ValueError(
            f"{path} is not a .keras file (a zip archive that Keras writes by model.save). "
            "Give the model.keras of a training run."
        )
    try:
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except (ValueError, TypeError, KeyError, OSError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"{path} cannot be read as an avel_tf model: it is damaged, was written by another "
            f"version, or holds parts that safe loading refuses. Keras reports: {error}"
        ) from error
    ours = (
        model.name in MODELS
        and isinstance(model.input, dict)
        and set(model.input) == _INPUTS
        and any(isinstance(layer, FeatureNormalization) for layer in model.layers)
    )
    if not ours:
        raise ValueError(
            f"{path} holds the Keras model {model.name!r}, which is none of {', '.join(MODELS)} "
            "over the inputs visual, audio and valid. Give the model.keras of a training run."
        )
    return model
