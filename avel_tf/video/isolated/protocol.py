"""What decoding children answer, and what it means for the file; nothing of it is believed."""

from __future__ import annotations

import os
import time
from typing import Any, get_type_hints

import numpy as np

from avel_tf.video.clip import Clip
from avel_tf.video.decode_settings import DecodeSettings
from avel_tf.video.errors import MediaError
from avel_tf.video.isolated.block_memory import SLOTS, BlockMemory
from avel_tf.video.isolated.process import DecoderDied, DecoderProcess
from avel_tf.video.probe import MediaInfo

NONSENSE = "its decoder answered nonsense"
_DECLARED = get_type_hints(MediaInfo)


def clip_of(
    path: str | bytes | os.PathLike, message: dict[str, Any], memory: BlockMemory
) -> Clip | None:
    """The block that a message announces, copied out of the shared memory; None if it does not.

    A child that has been taken over can send anything, so nothing is believed.
    """
    if message["kind"] != "block":
        return None
    valid = np.array([bit == "1" for bit in message["valid"]])  # [T]
    if not 1 <= len(valid) <= memory.shape[0] or message["slot"] not in range(SLOTS):
        raise ValueError("a block that does not exist")
    frames, waveform = memory.slot(message["slot"], len(valid))
    problem, remark = message["problem"], message["remark"]
    return Clip(
        frames.copy(),
        waveform.copy(),
        valid,
        info_of(path, message),
        bool(message["has_sound"]),
        None if problem is None else str(problem),
        None if remark is None else str(remark),
        tuple(int(number) for number in message["audio_track"]),
    )


def info_of(path: str | bytes | os.PathLike, message: dict[str, Any]) -> MediaInfo:
    """What a header declares, as a child tells it."""
    info = MediaInfo(**{**message["info"], "path": os.fsdecode(path)})
    for name, kind in _DECLARED.items():
        if not isinstance(getattr(info, name), kind):
            raise TypeError(f"{name} is no {kind}")
    return info


def receive(
    child: DecoderProcess,
    path: str | bytes | os.PathLike,
    settings: DecodeSettings,
    worked: float,
    awaited: str,
) -> dict[str, Any]:
    """The next message about a file on which its child has worked so many seconds."""
    left = settings.max_wall_seconds - worked
    began = time.monotonic()
    try:
        return child.receive(min(left, settings.max_stall_seconds))
    except DecoderDied as error:
        cause = str(error)
        if error.overdue and left > settings.max_stall_seconds:
            cause = (
                f"decoding it hung: {awaited} took longer than {settings.max_stall_seconds:g} s; "
                "if the file can be trusted, raise media.max_stall_seconds"
            )
        elif error.overdue:
            cause = overdue(worked + time.monotonic() - began, settings)
        raise MediaError(path, cause) from error


def raise_for(
    path: str | bytes | os.PathLike, message: dict[str, Any], settings: DecodeSettings
) -> None:
    """Raises what the last message about a file says, unless that is its end."""
    kind = message["kind"]
    if kind == "refused":
        raise MediaError(path, str(message.get("cause")))
    if kind == "memory":
        raise MediaError(
            path,
            f"decoding it needed more than the limit of {settings.max_memory_mb:,} MB of memory; "
            "if the file can be trusted, raise media.max_memory_mb",
        )
    if kind == "failed":
        raise MediaError(path, f"its decoder failed ({message.get('cause')})")
    if kind != "end":
        raise MediaError(path, NONSENSE)


def overdue(seconds: float, settings: DecodeSettings) -> str:
    return (
        f"decoding it took longer than {settings.max_wall_seconds:g} s ({seconds:.1f} s so far); "
        "if the file can be trusted, raise media.max_wall_seconds"
    )
