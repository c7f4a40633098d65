"""Properties of a data set's files, read by several threads."""

from __future__ import annotations

import hashlib
import logging
import stat
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from avel_tf.video.errors import MediaError

Probe = Callable[[Path], Any]
Decode = Callable[..., Iterable[Any]]
Progress = Callable[[int, int], None]

# A peak below -60 dBFS: the noise of a 16-bit recording with nothing plugged in lies there.
_SILENT_PEAK = 10 ** (-60 / 20)
# 8-bit video puts black at 16 of 255 (ITU-R BT.601); decoded black stays below that.
_BLACK_LEVEL = 16
_HASHED_BYTES = 1 << 20
# Seconds of a file that are in memory at a time: 4 MB of audio and frames.
_BLOCK_SECONDS = 60

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FileFacts:
    """Properties of one file.

    Args:
        exists: Whether the file exists.
        error: Cause if it cannot be read, else None.
        problem: Damage of a file that was decoded in part, else None.
        remark: Assumptions and choices of decoding, such as another audio track than the default
            one, else None.
        duration: Length in seconds, counted by decoding if not declared, else None.
        video_duration: Declared length of the video track in seconds.
        audio_duration: Declared length of the audio track in seconds.
        has_sound: Whether there is an audio track that can be decoded.
        silent: Whether the audio stays below -60 dBFS; None if nothing was decoded.
        black: Whether every frame is black; None if nothing was decoded.
        sha256: Hash of the content, if another file of the data set has the same size.
    """

    exists: bool = True
    error: str | None = None
    problem: str | None = None
    remark: str | None = None
    duration: float | None = None
    video_duration: float | None = None
    audio_duration: float | None = None
    has_sound: bool = True
    silent: bool | None = None
    black: bool | None = None
    sha256: str | None = None


def inspect_files(
    paths: Iterable[Path],
    probe: Probe,
    decode: Decode | None,
    workers: int,
    progress: Progress | None = None,
) -> dict[Path, FileFacts]:
    """Reads every file once.

    Args:
        paths: The files, possibly repeated.
        probe: Function like `avel_tf.video.decode.read_header`.
        decode: Function like `avel_tf.video.decode.decode_blocks`; None reads headers only.
        workers: Number of threads; decoding releases the interpreter lock.
        progress: Called with the number of files done and in total.

    Returns:
        The facts of each file, in the order of `paths`.
    """
    unique = list(dict.fromkeys(paths))
    sizes = {path: _size(path) for path in unique}
    # Empty files are unreadable, so they are not compared.
    frequent = Counter(sizes.values())
    frequent[0] = frequent[None] = 0

    def inspect(path: Path) -> FileFacts:
        return _inspect(path, frequent[sizes[path]] > 1, probe, decode)

    facts = {}
    with ThreadPoolExecutor(workers) as pool:
        for done, (path, found) in enumerate(
            zip(unique, pool.map(inspect, unique), strict=True), start=1
        ):
            facts[path] = found
            if progress:
                progress(done, len(unique))
    _log.info("%d files inspected", len(facts))
    return facts


def _size(path: Path) -> int | None:
    """Size of a regular file in bytes; None for pipes and devices, which must not be opened."""
    try:
        status = path.stat()
    except OSError:
        return None  # `_inspect` reports the error
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def _inspect(path: Path, hash_content: bool, probe: Probe, decode: Decode | None) -> FileFacts:
    try:
        path.lstat()
    except FileNotFoundError:
        return FileFacts(exists=False)
    except OSError as error:
        return FileFacts(error=error.strerror or str(error))
    try:
        digest = _sha256(path) if hash_content else None
        info = probe(path)
        content = _content(path, decode) if decode else None
    except MediaError as error:
        return FileFacts(error=error.cause)
    except OSError as error:
        return FileFacts(error=error.strerror or str(error))

    has_sound = info.audio_codec is not None and (content is None or content.has_sound)
    duration = info.duration
    silent = black = None
    if content is not None and duration is None:
        duration = float(content.seconds)
    if content is not None and content.seconds:
        silent = has_sound and content.loudest < _SILENT_PEAK
        black = content.brightest < _BLACK_LEVEL
    return FileFacts(
        problem=content.problem if content is not None else None,
        remark=content.remark if content is not None else None,
        duration=duration,
        video_duration=info.video_duration,
        audio_duration=info.audio_duration,
        has_sound=has_sound,
        silent=silent,
        black=black,
        sha256=digest,
    )


@dataclass
class _Content:
    """Properties that only decoding reveals."""

    seconds: int = 0
    loudest: float = 0.0
    brightest: int = 0
    has_sound: bool = True
    problem: str | None = None
    remark: str | None = None


def _content(path: Path, decode: Decode) -> _Content:
    """Decodes a file block by block, so that memory does not grow with its length."""
    content = _Content()
    for clip in decode(path, block_seconds=_BLOCK_SECONDS, frames_per_second=1, size=(32, 32)):
        content.seconds += int(clip.valid.sum())
        content.loudest = max(content.loudest, float(np.abs(clip.waveform).max(initial=0)))
        content.brightest = max(content.brightest, int(clip.frames.max(initial=0)))
        # Final in the last block.
        content.has_sound, content.problem = clip.has_sound, clip.problem
        content.remark = clip.remark
    return content


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_HASHED_BYTES):
            digest.update(block)
    return digest.hexdigest()
