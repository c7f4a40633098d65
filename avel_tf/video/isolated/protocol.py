"""Messages and shared memory between `IsolatedDecoder` and its worker processes.

Messages are JSON, not pickle: code that took over a worker through a hostile file must not be able
to run in the parent. Frames and waveforms travel in shared memory. The parent validates every reply
and copies every block, because a worker may have been taken over.
"""

from __future__ import annotations

import fcntl
import json
import mmap
import os
from contextlib import suppress
from dataclasses import asdict
from typing import Any, get_type_hints

import numpy as np

from avel_tf.video.clip import SAMPLE_RATE, Clip, MediaInfo
from avel_tf.video.decode_request import DecodeRequest
from avel_tf.video.decode_settings import DecodeSettings
from avel_tf.video.errors import MediaError

# While the parent copies one block, the worker fills the other.
SLOTS = 2


class BlockMemory:
    """Frames and waveforms of a few blocks, mapped into two processes.

    Args:
        shape: (T, F, H, W) of a whole block.
        descriptor: Descriptor of the memory, received from the parent; None creates the memory.
            It has no name, so nothing has to be cleaned up when either process is killed.
    """

    def __init__(self, shape: tuple[int, ...], descriptor: int | None = None) -> None:
        self.shape = shape
        block_seconds = shape[0]
        frame_bytes = int(np.prod((*self.shape, 3)))
        # The waveform comes first, so that its four-byte samples are aligned.
        slot_bytes = block_seconds * SAMPLE_RATE * 4 + frame_bytes
        slot_bytes += -slot_bytes % mmap.PAGESIZE
        if descriptor is None:
            descriptor = os.memfd_create("avel-blocks", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
            os.ftruncate(descriptor, SLOTS * slot_bytes)
            # A worker that has been taken over must not shrink memory that the parent reads.
            seals = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
            fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals)
        self.descriptor = descriptor
        self._memory = np.frombuffer(mmap.mmap(descriptor, SLOTS * slot_bytes), np.uint8)
        self._slot_bytes = slot_bytes

    def slot(self, number: int, seconds: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns views of the first seconds of a slot.

        Args:
            number: Index of the slot.
            seconds: T.

        Returns:
            frames uint8 `[T, F, H, W, 3]` and waveform float32 `[T * 16000]`.
        """
        block_seconds, rate, height, width = self.shape
        memory = self._memory[number * self._slot_bytes :]
        sound_bytes = block_seconds * SAMPLE_RATE * 4
        waveform = memory[:sound_bytes].view(np.float32)[: seconds * SAMPLE_RATE]  # [T * 16000]
        frame_bytes = seconds * rate * height * width * 3
        frames = memory[sound_bytes : sound_bytes + frame_bytes]
        return frames.reshape(seconds, rate, height, width, 3), waveform  # [T, F, H, W, 3]

    def close_descriptor(self) -> None:
        """Closes the descriptor, which only sending needs; the mapping stays."""
        os.close(self.descriptor)
        self.descriptor = -1


# Above the longest message: a path has up to 4,096 bytes, and JSON may escape each with six.
MESSAGE_BYTES = 1 << 17
NONSENSE = "its decoder sent an invalid reply"
_INFO_TYPES = get_type_hints(MediaInfo)


def decode_message(request: DecodeRequest) -> bytes:
    """Encodes a request to decode; the descriptor of a stream is passed beside it."""
    content = asdict(request)
    content["path"] = os.fsdecode(request.path) if request.live else absolute(request.path)
    return json.dumps({"do": "decode", "request": content}).encode()


def probe_message(path: str | bytes | os.PathLike, settings: DecodeSettings) -> bytes:
    """Encodes a request for what the header of a file declares."""
    content = {"path": absolute(path), "settings": asdict(settings)}
    return json.dumps({"do": "probe", "request": content}).encode()


def parse_request(content: dict[str, Any]) -> DecodeRequest:
    """Decodes the request of either message, in the worker process."""
    settings = parse_settings(content["settings"])
    size = tuple(content.get("size", (224, 224)))
    return DecodeRequest(**{**content, "size": size, "settings": settings})


def parse_settings(content: dict[str, Any]) -> DecodeSettings:
    """Decodes the settings of a request, in the worker process."""
    return DecodeSettings(**{**content, "codecs": tuple(content["codecs"])})


def function_message(
    function: str, path: str | bytes | os.PathLike, settings: DecodeSettings
) -> bytes:
    """Encodes a request to run a function; its arguments are passed in a file beside it."""
    content = {"function": function, "path": absolute(path), "settings": asdict(settings)}
    return json.dumps({"do": "run", "request": content}).encode()


def describe_block(clip: Clip) -> dict[str, Any]:
    """Describes a block that has been written to shared memory."""
    return {
        "valid": "".join("01"[bool(valid)] for valid in clip.valid),
        "info": describe_info(clip.info),
        "has_sound": clip.has_sound,
        "problem": clip.problem,
        "remark": clip.remark,
        "audio_track": clip.audio_track,
    }


def describe_info(info: MediaInfo) -> dict[str, Any]:
    """Describes a header. The parent fills in the path as its caller spelt it."""
    return {**asdict(info), "path": ""}


def parse_block(
    path: str | bytes | os.PathLike, message: dict[str, Any], memory: BlockMemory
) -> Clip | None:
    """Validates a reply and copies its block out of shared memory.

    Returns:
        The block, or None if the reply is of another kind.

    Raises:
        KeyError, TypeError, ValueError: The reply is invalid.
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
        parse_info(path, message),
        bool(message["has_sound"]),
        None if problem is None else str(problem),
        None if remark is None else str(remark),
        tuple(int(number) for number in message["audio_track"]),
    )


def parse_info(path: str | bytes | os.PathLike, message: dict[str, Any]) -> MediaInfo:
    """Validates the header in a reply.

    Raises:
        KeyError, TypeError: The reply is invalid.
    """
    info = MediaInfo(**{**message["info"], "path": os.fsdecode(path)})
    for name, kind in _INFO_TYPES.items():
        if not isinstance(getattr(info, name), kind):
            raise TypeError(f"{name} is no {kind}")
    return info


def raise_for(
    path: str | bytes | os.PathLike, message: dict[str, Any], settings: DecodeSettings
) -> None:
    """Raises a `MediaError` for the last reply about a file, unless it reports success."""
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


def absolute(path: str | bytes | os.PathLike) -> str:
    """Makes a path independent of the working folder, without resolving symbolic links."""
    name = os.fsdecode(path)
    with suppress(FileNotFoundError):  # the working folder has been deleted
        return os.path.join(os.getcwd(), name)
    return name
