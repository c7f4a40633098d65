"""Decoding of media files and live streams, in a worker process unless `media.isolated` is off.

Everything in the package that decodes media or reads its header calls `decode` or `read_header`
(or a convenience below), so that a user's limits and isolation always apply. `media_job`
runs functions that read a file and write others, with the same limits.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np

from avel_tf.video.clip import SAMPLE_RATE, Clip, MediaInfo
from avel_tf.video.decode_request import BLOCK_SECONDS, DecodeRequest
from avel_tf.video.decode_settings import DecodeSettings
from avel_tf.video.isolated.decoder import shared_decoder

__all__ = ["DecodeSettings", "decode", "decode_blocks", "decode_clip", "join", "read_header"]


def decode(request: DecodeRequest) -> Iterator[Clip]:
    """Decodes one file or live stream into consecutive blocks.

    Memory holds at most a few blocks, whatever the length of the file. A problem may become known
    only at the end of a file, so `Clip.problem` and `Clip.remark` are set in the last block only.

    Args:
        request: The source, the form of its clips, and the limits. With `settings.isolated` a
            worker process of `shared_decoder` decodes; it is at most one block ahead.

    Returns:
        An iterator of clips. The source is opened when the first one is requested.

    Raises:
        MediaError: The source cannot be decoded, or not to its end. The message gives the cause.
        RuntimeError: No worker process can be started.

    Example:
        >>> for block in decode(DecodeRequest("match.mkv", block_seconds=60)):
        ...     print(block.frames.shape)
    """
    if request.settings.isolated:
        return shared_decoder().decode(request)
    # FFmpeg and OpenCV are imported in the worker processes, and here only without them.
    from avel_tf.video.stream_decoder import decode_in_process

    return decode_in_process(request)


def read_header(path: str | bytes | os.PathLike, settings: DecodeSettings) -> MediaInfo:
    """Reads what the header of a file declares.

    Args:
        path: The file.
        settings: Limits; with `isolated`, a worker process reads the header.

    Raises:
        MediaError: The file cannot be opened, has no video track, or exceeds a limit.
        RuntimeError: No worker process can be started.
    """
    if settings.isolated:
        return shared_decoder().probe(path, settings)
    from avel_tf.video.probe import probe

    return probe(path, settings)


def decode_clip(
    path: str | bytes | os.PathLike,
    *,
    seconds: int | None = None,
    frames_per_second: int = 1,
    size: tuple[int, int] = (224, 224),
    settings: DecodeSettings | None = None,
) -> Clip:
    """Decodes a file, or its beginning, into one clip.

    The whole clip is kept in memory, about 0.15 MB for each frame of 224 x 224. Use `decode` for
    long files.

    Args:
        path: The file.
        seconds: T. A longer file is cut, a shorter one padded with seconds that are not valid.
            None takes the length of the file, rounded to whole seconds, at least one.
        frames_per_second: F, number of frames sampled in each second.
        size: (H, W) to which the whole frame is resized.
        settings: Limits, threads and isolation.

    Returns:
        The clip: frames `[T, F, H, W, 3]`, waveform `[T * 16000]`, valid `[T]`.

    Raises:
        MediaError: The file cannot be decoded. The message gives the cause.
        ValueError: An argument is out of range.
        RuntimeError: No worker process can be started.

    Example:
        >>> clip = decode_clip("dog.mp4", seconds=10)
        >>> clip.frames.shape
        (10, 1, 224, 224, 3)
    """
    return clip_of(
        DecodeRequest(path, frames_per_second, size, seconds, settings=settings or DecodeSettings())
    )


def clip_of(request: DecodeRequest) -> Clip:
    """Decodes a request into one clip, as `decode_clip` does."""
    block_seconds = min(request.seconds or BLOCK_SECONDS, BLOCK_SECONDS)
    return join(decode(replace(request, block_seconds=block_seconds)), request.seconds)


def decode_blocks(
    path: str | bytes | os.PathLike,
    *,
    block_seconds: int = BLOCK_SECONDS,
    frames_per_second: int = 1,
    size: tuple[int, int] = (224, 224),
    settings: DecodeSettings | None = None,
) -> Iterator[Clip]:
    """Decodes a file of any length block by block; see `decode`."""
    settings = settings or DecodeSettings()
    return decode(DecodeRequest(path, frames_per_second, size, None, block_seconds, settings))


def join(blocks: Iterable[Clip], seconds: int | None) -> Clip:
    """Joins the blocks of a file into one clip.

    Args:
        blocks: The blocks in order, at least one.
        seconds: T, to which the clip is padded with invalid seconds; None adds none.
    """
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
