"""Predictions from arrays, for the protocols of model servers."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from avel_tf.export.exported_model import ExportedModel
from avel_tf.inference.arrays import prepare_clip
from avel_tf.serving.errors import ApiError
from avel_tf.serving.model_process import ModelProcess

OUTPUTS = ("probabilities", "label_index", "score", "valid")


@dataclass(frozen=True)
class Input:
    """An input of a signature.

    Attributes:
        shape: -1 for an axis of any size.
        dtype: NumPy type.
        axes: The axes in words, for messages.
    """

    shape: tuple[int, ...]
    dtype: str
    axes: str


Signature = dict[str, Input]


@dataclass(frozen=True)
class ServedModel:
    """The present model as model servers describe it.

    Attributes:
        name: Name without the version.
        version: The version.
        exported: The exported model.
        clips: Inputs `frames`, `waveform` and, optionally, `valid`.
        features: Inputs `visual`, `audio` and, optionally, `valid`.
    """

    name: str
    version: str
    exported: ExportedModel
    clips: Signature
    features: Signature

    def outputs(self) -> dict[str, Input]:
        """Outputs by name."""
        classes = len(self.exported.labels) + 1
        return {
            "probabilities": Input((-1, -1, classes), "float32", "[B, T, C+1]"),
            "label_index": Input((-1, -1), "int64", "[B, T]"),
            "score": Input((-1, -1), "float32", "[B, T]"),
            "valid": Input((-1, -1), "bool", "[B, T]"),
        }


async def served_model(
    process: ModelProcess, name: str | None = None, version: str | None = None
) -> ServedModel:
    """The present model.

    Args:
        process: The model process.
        name: Name in the request.
        version: Version in the request.

    Raises:
        ApiError: The server has another model, or none.
    """
    found = _served_model((await process.described())["folder"])
    for what, wanted, given in (("model", name, found.name), ("version", version, found.version)):
        if wanted not in (None, given):
            raise ApiError(
                404,
                f"There is no {what} {wanted!r}. The server has {found.name!r}, version "
                f"{found.version!r}.",
            )
    return found


@lru_cache(maxsize=4)
def _served_model(folder: str) -> ServedModel:
    exported = ExportedModel(folder)
    name, _, version = exported.name.rpartition("/")
    visual, audio = exported.recipe.visual, exported.recipe.audio
    valid = {"valid": Input((-1, -1), "bool", "[B, T]")}
    frames = (-1, -1, visual.frames_per_second, -1, -1, 3)
    clips = {
        "frames": Input(frames, "uint8", f"[B, T, {visual.frames_per_second}, H, W, 3]"),
        "waveform": Input((-1, -1), "float32", f"[B, T*{audio.sample_rate}]"),
    }
    features = {
        "visual": Input((-1, -1, visual.width), "float32", f"[B, T, {visual.width}]"),
        "audio": Input((-1, -1, audio.width), "float32", f"[B, T, {audio.width}]"),
    }
    return ServedModel(name or exported.name, version, exported, clips | valid, features | valid)


async def predict(
    process: ModelProcess, model: ServedModel, inputs: dict[str, Any]
) -> dict[str, np.ndarray]:
    """Label the segments of clips.

    Args:
        process: The model process.
        model: The present model.
        inputs: `frames` and `waveform`, or `visual` and `audio`, and `valid`, as arrays or nested
            lists; all segments are valid without the last.

    Returns:
        `probabilities` float32 [B, T, C+1], `label_index` int64 [B, T], `score` float32 [B, T] and
        `valid` bool [B, T], as of the exported model's signatures.

    Raises:
        ApiError: An input is missing, unknown, or of another shape or type.
    """
    arrays = await asyncio.to_thread(_checked, model, inputs)
    if "frames" in arrays:
        visual, audio = await _embed(process, model, arrays)
    else:
        visual, audio = arrays["visual"], arrays["audio"]
    valid = arrays.get("valid")
    if valid is None:
        valid = np.ones(visual.shape[:2], bool)
    # As in the exported model: features that are all zero mark an invalid segment.
    valid = valid & (visual.any(-1) | audio.any(-1))
    probabilities = await process.label(visual, audio, valid)
    postprocessing = model.exported.postprocessing
    scores = [postprocessing.scores(each) for each in probabilities]
    background = model.exported.labels.background
    return {
        "probabilities": probabilities,
        "label_index": np.stack([each.label_index(background) for each in scores]).astype(np.int64),
        "score": np.stack([each.score for each in scores]).astype(np.float32),
        "valid": valid,
    }


async def _embed(
    process: ModelProcess, model: ServedModel, arrays: dict[str, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Features [B, T, Dv] and [B, T, Da] of clips."""
    recipe = model.exported.recipe.visual
    prepare = [
        asyncio.to_thread(prepare_clip, frames, waveform, recipe)
        for frames, waveform in zip(arrays["frames"], arrays["waveform"], strict=True)
    ]
    try:
        clips = await asyncio.gather(*prepare)
    except (TypeError, ValueError) as error:
        raise ApiError(400, str(error)) from error
    features = await asyncio.gather(*(process.embed(*clip) for clip in clips))
    visual, audio = (np.stack(column) for column in zip(*features, strict=True))
    return visual, audio


def _checked(model: ServedModel, inputs: dict[str, Any]) -> dict[str, np.ndarray]:
    """Inputs as arrays of one of the signatures."""
    signature = model.features if "visual" in inputs or "audio" in inputs else model.clips
    required = [name for name in signature if name != "valid"]
    missing = [name for name in required if name not in inputs]
    unknown = [name for name in inputs if name not in signature]
    if missing or unknown:
        given = ", ".join(map(repr, inputs)) or "none"
        raise ApiError(
            400,
            f"The inputs must be 'frames' and 'waveform', or 'visual' and 'audio', and optionally "
            f"'valid'. Received: {given}.",
        )
    arrays = {}
    for name, value in inputs.items():
        expected = signature[name]
        try:
            array = np.asarray(value)
            if array.dtype == object:
                raise ValueError("its rows differ in length")
            if expected.dtype == "uint8" and not _are_bytes(array):
                raise ValueError("values must be whole numbers from 0 to 255")
            array = array.astype(expected.dtype, copy=False)
        except (ValueError, TypeError, OverflowError) as error:
            raise ApiError(
                400, f"The input {name!r} is not a {expected.dtype} array: {error}."
            ) from error
        fits = array.ndim == len(expected.shape) and all(
            wanted in (-1, size) for wanted, size in zip(expected.shape, array.shape, strict=True)
        )
        if not fits or not array.size:
            raise ApiError(
                400,
                f"The input {name!r} must have the shape {expected.axes}, B clips of T seconds. "
                f"Received: {list(array.shape)}.",
            )
        arrays[name] = array
    if len({array.shape[0] for array in arrays.values()}) > 1:
        raise ApiError(400, "The inputs have different numbers of clips (their first axis).")
    segments = {name: array.shape[1] for name, array in arrays.items() if name != "waveform"}
    if len(set(segments.values())) > 1:
        raise ApiError(400, f"The inputs have different numbers of seconds: {segments}.")
    for name in ("visual", "audio"):
        if name in arrays and not np.isfinite(arrays[name]).all():
            raise ApiError(400, f"The input {name!r} has values that are NaN or infinite.")
    return arrays


def _are_bytes(array: np.ndarray) -> bool:
    if array.dtype == np.uint8:
        return True
    integers = np.issubdtype(array.dtype, np.integer)
    return integers and bool(((array >= 0) & (array <= 255)).all())
