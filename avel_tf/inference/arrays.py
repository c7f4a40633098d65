"""Decoded clips that users pass as arrays, brought into the form that a model takes."""

from __future__ import annotations

from typing import Any

import numpy as np

from avel_tf.embeddings.recipe import VisualRecipe
from avel_tf.video.clip import SAMPLE_RATE

# Lossy codecs overshoot 1 by some decibels; integer samples do by far more.
_LARGEST_SAMPLE = 4.0


def is_clip(item: Any) -> bool:
    """Return True for a pair (frames, waveform) of arrays or tensors."""
    if not (isinstance(item, tuple | list) and len(item) == 2):
        return False
    return item[1] is None or any(hasattr(each, "shape") for each in item)


def prepare_clip(frames: Any, waveform: Any, recipe: VisualRecipe) -> tuple[np.ndarray, np.ndarray]:
    """Check a clip, select F frames per segment, and resize them.

    Args:
        frames: uint8 [T, F', H, W, 3] or [T, H, W, 3] RGB, at equal distances; any F', H and W.
        waveform: float [T*16000] mono at 16 kHz in [-1, 1]; up to one second shorter, which is
            filled up with silence. None for silence.
        recipe: F and the image size of the model.

    Returns:
        frames uint8 [T, F, size, size, 3] and waveform float32 [T, 16000].

    Raises:
        TypeError: The frames are not uint8, or the waveform is not floating point.
        ValueError: A shape or a value is wrong.
    """
    frames = _checked_frames(frames)
    seconds = len(frames)
    sound = _checked_waveform(waveform, seconds)
    # As of a file: of each sampling time (k + 0.5) / F the frame that is shown then.
    count = recipe.frames_per_second
    shown = ((np.arange(count) + 0.5) / count * frames.shape[1]).astype(int)  # [F]
    frames = frames[:, shown]  # [T, F, H, W, 3]
    if frames.shape[2:4] != (recipe.size, recipe.size):
        frames = _resized(frames, recipe.size)
    return np.ascontiguousarray(frames), sound.reshape(seconds, SAMPLE_RATE)


def _checked_frames(frames: Any) -> np.ndarray:
    frames = np.asarray(frames)
    expected = "frames must be uint8 RGB of shape [T, F, H, W, 3] or [T, H, W, 3]"
    if frames.dtype != np.uint8:
        raise TypeError(
            f"{expected}. Received: dtype {frames.dtype}. Convert them first, for instance "
            "(frames * 255).round().astype('uint8') if they are floats in [0, 1]."
        )
    if frames.ndim not in (4, 5) or frames.shape[-1] != 3 or not frames.size:
        hint = " Move the channels to the last axis." if 3 in frames.shape[:-1] else ""
        raise ValueError(f"{expected}, T being the seconds. Received: shape {frames.shape}.{hint}")
    return frames if frames.ndim == 5 else frames[:, None]


def _checked_waveform(waveform: Any, seconds: int) -> np.ndarray:
    expected = f"waveform must be mono float32 of shape [T*{SAMPLE_RATE}] in [-1, 1]"
    if waveform is None:
        return np.zeros(seconds * SAMPLE_RATE, np.float32)
    waveform = np.asarray(waveform)
    if not np.issubdtype(waveform.dtype, np.floating):
        raise TypeError(
            f"{expected}. Received: dtype {waveform.dtype}. Divide 16-bit samples by 32768.0."
        )
    if waveform.ndim != 1:
        raise ValueError(
            f"{expected}. Received: shape {waveform.shape}. Average the channels, and pass one "
            "clip at a time."
        )
    missing = seconds * SAMPLE_RATE - len(waveform)
    if not 0 <= missing < SAMPLE_RATE:
        raise ValueError(
            f"{expected}. The frames have T = {seconds} segments, so {seconds * SAMPLE_RATE} "
            f"samples are expected. Received: {len(waveform)} samples, "
            f"{len(waveform) / SAMPLE_RATE:g} s at {SAMPLE_RATE} Hz. Resample the audio to "
            f"{SAMPLE_RATE} Hz and cut it to the length of the frames."
        )
    if not np.isfinite(waveform).all():
        raise ValueError(
            f"{expected}. Received: {int((~np.isfinite(waveform)).sum())} values that are NaN or "
            "infinite."
        )
    largest = float(np.abs(waveform).max(initial=0.0))
    if largest > _LARGEST_SAMPLE:
        raise ValueError(
            f"{expected}. Received: a sample of magnitude {largest:g}. Divide 16-bit samples by "
            "32768.0."
        )
    return np.pad(waveform.astype(np.float32), (0, missing))


def _resized(frames: np.ndarray, size: int) -> np.ndarray:
    """Frames [T, F, H, W, 3] resized whole, without a crop, by the scaler of the decoder."""
    import av

    from avel_tf.video.frame_sampler import FrameScaler

    scale = FrameScaler((size, size))
    images = np.ascontiguousarray(frames.reshape(-1, *frames.shape[2:]))  # [T*F, H, W, 3]
    small = [scale(av.VideoFrame.from_ndarray(image, format="rgb24")) for image in images]
    return np.stack(small).reshape(*frames.shape[:2], size, size, 3)
