"""Loading of trained models."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import keras

# Importing the layers registers every class that a file may contain.
from avel_tf.models.layers import FeatureNormalization
from avel_tf.models.settings import MODELS

_INPUTS = {"audio", "valid", "visual"}


def load_model(path: str | os.PathLike[str]) -> keras.Model:
    """Load a `.keras` file without running code from it.

    Args:
        path: a `.keras` file of one of `MODELS`.

    Returns:
        The model, not compiled.

    Raises:
        FileNotFoundError: If the file is missing.
        ValueError: If it is not a `.keras` file, or contains another kind of model.

    Example:
        >>> model = load_model("runs/first/model.keras")
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"No model file at {path}. avel train writes RUN/model.keras.")
    if path.suffix != ".keras" or not zipfile.is_zipfile(path):
        raise ValueError(
            f"{path} is not a .keras file (a zip archive written by model.save). "
            "Pass the model.keras of a training run."
        )
    try:
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except (ValueError, TypeError, KeyError, OSError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"{path} cannot be loaded: it is damaged, was written by another version, or contains "
            f"objects that safe loading refuses. Keras reports: {error}"
        ) from error
    ours = (
        model.name in MODELS
        and isinstance(model.input, dict)
        and set(model.input) == _INPUTS
        and any(isinstance(layer, FeatureNormalization) for layer in model.layers)
    )
    if not ours:
        raise ValueError(
            f"{path} contains the Keras model {model.name!r}. Expected: one of {', '.join(MODELS)} "
            "with the inputs visual, audio and valid. Pass the model.keras of a training run."
        )
    return model
