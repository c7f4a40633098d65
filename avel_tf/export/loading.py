"""The graphs of an exported model."""

from __future__ import annotations

from pathlib import Path

import tensorflow as tf

from avel_tf.engines.graphs import LoadedGraphs
from avel_tf.export.manifest import ModelError

SIGNATURES = ("serving_default", "embed", "from_features")


def load_graphs(folder: Path) -> LoadedGraphs:
    """Load a SavedModel's signatures.

    Args:
        folder: A version of an exported model.

    Returns:
        Its `embed` and its `from_features` as functions of positional arguments.

    Raises:
        ModelError: When it cannot be loaded, or has not the signatures that `avel export` writes.
    """
    try:
        model = tf.saved_model.load(str(folder))
    except (OSError, ValueError, TypeError, LookupError, tf.errors.OpError) as error:
        raise ModelError(f"{folder} is not a model that avel export wrote: {error}") from error
    missing = [name for name in SIGNATURES if name not in model.signatures]
    if missing:
        raise ModelError(
            f"The SavedModel {folder} has no signature {', '.join(missing)}. Expected what avel "
            "export writes."
        )

    def embed(frames: tf.Tensor, waveform: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        features = model.signatures["embed"](frames=frames, waveform=waveform)
        return features["visual"], features["audio"]

    def label(visual: tf.Tensor, audio: tf.Tensor) -> tf.Tensor:
        return model.signatures["from_features"](visual=visual, audio=audio)["probabilities"]

    return LoadedGraphs(embed, label)
