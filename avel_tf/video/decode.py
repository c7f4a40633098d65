"""From a media file to clips, in one pass over its packets."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np

from avel_tf.video.clip import SAMPLE_RATE, Clip
from avel_tf.video.decode_settings import DecodeSettings
from avel_tf.video.source import open_media
from avel_tf.video.stream_decoder import StreamDecoder

__all__ = ["DecodeSettings", "decode_blocks", "decode_clip"]

# The whole file is decoded in blocks of a minute that are joined at the end.
_JOINED_BLOCK_SECONDS = 60


def decode_clip(
    path: str | bytes | os.PathLike,
    *,
    seconds: int | None = None,
    frames_per_second: int = 1,
    size: tuple[int, int] = (224, 224),
    settings: DecodeSettings | None = None,
) -> Clip:
    """Decodes a file, or its beginning, into one clip.

    The whole clip lies in memory: about 0.15 MB for each picture of 224 x 224. Use
    `decode_blocks` for long files.

    Args:
        path: The file.
        seconds: T; a longer file is cut, a shorter one padded with seconds that are not valid.
            None takes the file's own length, rounded to whole seconds, at least one.
        frames_per_second: F, pictures per second.
        size: (H, W) to which the whole picture is resized.
        settings: Limits and threads.

    Returns:
        The clip: frames `[T, F, H, W, 3]`, waveform `[T * 16000]`, valid `[T]`.

    Raises:
        MediaError: No clip can be had from this file; the error says why.
        ValueError: An argument is out of range.

    Example:
        >>> clip = decode_clip("dog.mp4", seconds=10)
        >>> clip.frames.shape
        (10, 1, 224, 224, 3)
    """
    if seconds is not None and seconds < 1:
        raise ValueError(f"seconds must be at least 1, or None for all. Received: {seconds!r}.")
    check_request(frames_per_second, size)
    settings = settings or DecodeSettings()
    block_seconds = seconds or _JOINED_BLOCK_SECONDS
    blocks = decode_until(path, block_seconds, seconds, frames_per_second, size, settings)
    return join(blocks, seconds)


def join(blocks: Iterable[Clip], seconds: int | None) -> Clip:
    """One clip of T seconds from the blocks of a file; T None takes as many as there are."""
    blocks = list(blocks)
    last = blocks[-1]
    missing = 0 if seconds is None else seconds - sum(block.seconds for block in blocks)
    if len(blocks) == 1 and not missing:
        return last
    frames = [block.frames for block in blocks]
    frames.append(np.zeros((missing, *last.frames.shape[1:]), np.uint8))  # [missing, F, H, W, 3]
    waveform = [block.waveform for block in blocks]
    waveform.append(np.zeros(missing * SAMPLE_RATE, np.float32))  # [missing * 16000]
    valid = [block.valid for block in blocks] + [np.zeros(missing, bool)]
    return replace(
        last,
        frames=np.concatenate(frames),  # [T, F, H, W, 3]
        waveform=np.concatenate(waveform),  # [T * 16000]
        valid=np.concatenate(valid),  # [T]
    )


def decode_blocks(
    path: str | bytes | os.PathLike,
    *,
    block_seconds: int = 10,
    frames_per_second: int = 1,
    size: tuple[int, int] = (224, 224),
    settings: DecodeSettings | None = None,
) -> Iterator[Clip]:
    """Decodes a file of any length, one block of seconds after the other.

    Memory holds one block, however long the file is. Joined, the blocks are exactly what
    `decode_clip` gives. What is wrong with a file may show only at its end, so `problem` stands
    in the last block and is None in those before.

    Args:
        path: The file.
        block_seconds: T of every block but the last, which may be shorter.
        frames_per_second: F, pictures per second.
        size: (H, W) to which the whole picture is resized.
        settings: Limits and threads.

    Returns:
        An iterator of clips; the file is opened when the first is asked for.

    Raises:
        MediaError: No clip can be had from this file; the error says why.
        ValueError: An argument is out of range.

    Example:
        >>> for block in decode_blocks("film.mkv", block_seconds=60):
        ...     print(block.frames.shape)
    """
    if block_seconds < 1:
        raise ValueError(f"block_seconds must be at least 1. Received: {block_seconds!r}.")
    check_request(frames_per_second, size)
    settings = settings or DecodeSettings()
    return decode_until(path, block_seconds, None, frames_per_second, size, settings)


def check_request(frames_per_second: int, size: tuple[int, int]) -> None:
    """Raises a `ValueError` for pictures that cannot be made."""
    if frames_per_second < 1:
        raise ValueError(f"frames_per_second must be at least 1. Received: {frames_per_second!r}.")
    if len(size) != 2 or min(size) < 1:
        raise ValueError(f"size must be (height, width) in pixels. Received: {size!r}.")


def decode_until(
    path: str | bytes | os.PathLike,
    block_seconds: int,
    stop_at: int | None,
    frames_per_second: int,
    size: tuple[int, int],
    settings: DecodeSettings,
) -> Iterator[Clip]:
    """The blocks of a file up to the second `stop_at`; None reads it to its end."""
    with open_media(path, settings) as container:
        walk = StreamDecoder(path, container, stop_at, frames_per_second, size, settings)
        yield from walk.blocks(block_seconds)
