"""Graphs of an exported model."""

from __future__ import annotations

from pathlib import Path

import tensorflow as tf

from avel_tf.engines.engine import LoadedGraphs, SingleBackbones
from avel_tf.export.manifest import PART_SIGNATURES, SIGNATURES, WITH_VALID, ModelError


def load_graphs(folder: Path) -> LoadedGraphs:
    """Load a SavedModel's signatures.

    Args:
        folder: A version of an exported model.

    Returns:
        The signatures as functions of positional arguments.

    Raises:
        ModelError: It cannot be loaded, or lacks a signature that `avel export` writes.
    """
    try:
        model = tf.saved_model.load(str(folder))
    except (OSError, ValueError, TypeError, LookupError, tf.errors.OpError) as error:
        raise ModelError(f"{folder} is not a model that avel export wrote: {error}") from error
    missing = [name for name in SIGNATURES if name not in model.signatures]
    if missing:
        raise ModelError(
            f"The SavedModel {folder} has no signature {', '.join(missing)}. Expected a "
            "model that avel export wrote."
        )

    def embed(frames: tf.Tensor, waveform: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        features = model.signatures["embed"](frames=frames, waveform=waveform)
        return features["visual"], features["audio"]

    with_valid = model.signatures.get("from_features" + WITH_VALID)

    def label(visual: tf.Tensor, audio: tf.Tensor, valid: tf.Tensor) -> tf.Tensor:
        if with_valid is not None:
            return with_valid(visual=visual, audio=audio, valid=valid)["probabilities"]
        # Older exports mark invalid segments by features of zero.
        present = valid[..., None]  # [B, T, 1]
        return model.signatures["from_features"](
            visual=tf.where(present, visual, 0.0), audio=tf.where(present, audio, 0.0)
        )["probabilities"]

    if not all(name in model.signatures for name in PART_SIGNATURES):
        return LoadedGraphs(embed, label)
    backbones = SingleBackbones(
        lambda frames: model.signatures["embed_frames"](frames=frames)["visual"],
        lambda waveform: model.signatures["embed_audio"](waveform=waveform)["audio"],
    )
    return LoadedGraphs(embed, label, backbones)
