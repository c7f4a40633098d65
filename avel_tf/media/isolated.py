"""Decoding in child processes, so that a file can harm nothing but itself."""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from types import TracebackType
from typing import Any, get_type_hints

import numpy as np

from avel_tf.media.block_memory import SLOTS, BlockMemory
from avel_tf.media.clip import Clip
from avel_tf.media.decode import check_request, join
from avel_tf.media.decode_settings import DecodeSettings
from avel_tf.media.decode_worker import probe_request, request
from avel_tf.media.decoder_process import DecoderDied, DecoderProcess
from avel_tf.media.errors import MediaError
from avel_tf.media.probe import MediaInfo

logger = logging.getLogger(__name__)

# How often a child that dies before it has begun a file is replaced. Once would do for one that
# was killed or ended while it had nothing to do.
_STARTS = 3
# Blocks in which `decode_clip` fetches a file; the memory for two of them is shared.
_CLIP_BLOCK_SECONDS = 10
_NONSENSE = "its decoder answered nonsense"
_DECLARED = get_type_hints(MediaInfo)


class IsolatedDecoder:
    """`probe`, `decode_blocks` and `decode_clip` in child processes without TensorFlow.

    A film that crashes its decoder, hangs it or makes it take too much memory ends as a
    `MediaError` that says which of these it was, and the next film gets a new child. Blocks come
    through shared memory, everything else as JSON.

    Any number of threads may use one decoder: each file that is being read has a child of its
    own, and children without a file wait for the next one. Linux only.

    Example:
        >>> with IsolatedDecoder() as decoder:
        ...     for block in decoder.decode_blocks("film.mkv"):
        ...         print(block.frames.shape)
    """

    def __init__(self) -> None:
        self._idle: list[DecoderProcess] = []
        self._lock = threading.Lock()
        self._closed = False
        self._owner = os.getpid()

    def __enter__(self) -> IsolatedDecoder:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the children; one with a file in hand ends with that file."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for child in idle:
            child.close()

    @property
    def idle_pids(self) -> tuple[int, ...]:
        """Numbers of the children that wait for a file."""
        with self._lock:
            return tuple(child.pid for child in self._idle)

    def decode_blocks(
        self,
        path: str | bytes | os.PathLike,
        *,
        block_seconds: int = 10,
        frames_per_second: int = 1,
        size: tuple[int, int] = (224, 224),
        settings: DecodeSettings | None = None,
    ) -> Iterator[Clip]:
        """What `avel_tf.media.decode_blocks` gives, decoded in a child process.

        The child is one block ahead of the caller, not more.

        Args:
            path: The file.
            block_seconds: T of every block but the last, which may be shorter.
            frames_per_second: F, pictures per second.
            size: (H, W) to which the whole picture is resized.
            settings: Limits and threads.

        Returns:
            An iterator of clips; the file is opened when the first is asked for.

        Raises:
            MediaError: No clip can be had from this file, or no further one; the error says why.
            ValueError: An argument is out of range.
            RuntimeError: Child processes cannot be started.
        """
        if block_seconds < 1:
            raise ValueError(f"block_seconds must be at least 1. Received: {block_seconds!r}.")
        check_request(frames_per_second, size)
        settings = settings or DecodeSettings()
        return self._decode(
            path, block_seconds, None, frames_per_second, (size[0], size[1]), settings
        )

    def decode_clip(
        self,
        path: str | bytes | os.PathLike,
        *,
        seconds: int | None = None,
        frames_per_second: int = 1,
        size: tuple[int, int] = (224, 224),
        settings: DecodeSettings | None = None,
    ) -> Clip:
        """What `avel_tf.media.decode_clip` gives, decoded in a child process.

        Args:
            path: The file.
            seconds: T; None takes the file's own length.
            frames_per_second: F, pictures per second.
            size: (H, W) to which the whole picture is resized.
            settings: Limits and threads.

        Returns:
            The clip: frames `[T, F, H, W, 3]`, waveform `[T * 16000]`, valid `[T]`.

        Raises:
            MediaError: No clip can be had from this file; the error says why.
            ValueError: An argument is out of range.
            RuntimeError: Child processes cannot be started.
        """
        if seconds is not None and seconds < 1:
            raise ValueError(f"seconds must be at least 1, or None for all. Received: {seconds!r}.")
        check_request(frames_per_second, size)
        blocks = self._decode(
            path,
            min(seconds or _CLIP_BLOCK_SECONDS, _CLIP_BLOCK_SECONDS),
            seconds,
            frames_per_second,
            (size[0], size[1]),
            settings or DecodeSettings(),
        )
        return join(blocks, seconds)

    def probe(
        self, path: str | bytes | os.PathLike, settings: DecodeSettings | None = None
    ) -> MediaInfo:
        """What `avel_tf.media.probe.probe` gives, read in a child process.

        Args:
            path: The file.
            settings: The limits that it must keep.

        Returns:
            What the file declares.

        Raises:
            MediaError: The file cannot be opened, has no picture, declares more than the limits,
                or harms whoever reads its header; the error says which.
            RuntimeError: Child processes cannot be started.
        """
        settings = settings or DecodeSettings()
        child, _ = self._begin(probe_request(_absolute(path), settings), None)
        reusable = False
        try:
            message = _receive(child, path, settings, 0.0, "its header")
            try:
                reusable = message["kind"] in ("info", "refused")
                if message["kind"] == "info":
                    return _info(path, message)
            except (KeyError, TypeError) as error:
                raise MediaError(path, _NONSENSE) from error
            _raise_for(path, message, settings)
            raise MediaError(path, _NONSENSE)
        finally:
            self._give_back(child, reusable)

    def _decode(
        self,
        path: str | bytes | os.PathLike,
        block_seconds: int,
        stop_at: int | None,
        frames_per_second: int,
        size: tuple[int, int],
        settings: DecodeSettings,
    ) -> Iterator[Clip]:
        form = (block_seconds, frames_per_second, *size)
        text = request(_absolute(path), block_seconds, stop_at, frames_per_second, size, settings)
        child, memory = self._begin(text, form)
        assert memory is not None
        reusable = False
        worked = 0.0  # seconds that the child has spent on this file, waiting for us not counted
        try:
            while True:
                message = _receive(child, path, settings, worked, "the next block")
                try:
                    clip = _clip(path, message, memory)
                    worked = max(worked, float(message.get("worked", worked)))
                except (KeyError, TypeError, ValueError, OverflowError) as error:
                    raise MediaError(path, _NONSENSE) from error
                if clip is None:
                    reusable = message["kind"] in ("end", "refused")
                    _raise_for(path, message, settings)
                    return
                child.tell("free")
                if worked > settings.max_wall_seconds:
                    raise MediaError(path, _overdue(worked, settings))
                yield clip
        except GeneratorExit:
            reusable = child.stop_job()
            raise
        finally:
            self._give_back(child, reusable)

    def _begin(
        self, text: bytes, form: tuple[int, ...] | None
    ) -> tuple[DecoderProcess, BlockMemory | None]:
        """A child that is at work on the file, and memory of the form that is wanted."""
        for _ in range(_STARTS):
            child = self._take()
            memory = child.memory
            if form is not None and (memory is None or memory.shape != form):
                memory = BlockMemory(form[0], form[1], (form[2], form[3]))
            try:
                child.begin(text, memory)
            except DecoderDied as error:
                logger.debug("decoder %d: %s", child.pid, error)
                words = child.errors()
                reason = f"{error}. {words}" if words else f"{error}."
                child.close(kill=True)
                continue
            return child, memory
        raise RuntimeError(
            f"No decoder process can be started: {reason} Set media.isolated to false to decode "
            "without one."
        )

    def _take(self) -> DecoderProcess:
        with self._lock:
            if self._owner != os.getpid():
                # After a fork the children belong to the process that started them.
                self._idle, self._owner = [], os.getpid()
            if self._closed:
                raise RuntimeError("This decoder has been closed.")
            if self._idle:
                return self._idle.pop()
        return DecoderProcess()

    def _give_back(self, child: DecoderProcess, reusable: bool) -> None:
        with self._lock:
            if reusable and not self._closed:
                self._idle.append(child)
                return
        child.close(kill=True)


@cache
def shared_decoder() -> IsolatedDecoder:
    """The decoder that all of this process shares, so that children are started once."""
    decoder = IsolatedDecoder()
    atexit.register(decoder.close)
    return decoder


def _absolute(path: str | bytes | os.PathLike) -> str:
    """The same file, seen from any folder; nothing is resolved, so links stay what they are."""
    name = os.fsdecode(path)
    with suppress(FileNotFoundError):  # the working folder is gone: so is what it held
        return os.path.join(os.getcwd(), name)
    return name


def _clip(
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
    problem = message["problem"]
    return Clip(
        frames.copy(),
        waveform.copy(),
        valid,
        _info(path, message),
        bool(message["has_sound"]),
        None if problem is None else str(problem),
    )


def _info(path: str | bytes | os.PathLike, message: dict[str, Any]) -> MediaInfo:
    """What a header declares, as a child tells it."""
    info = MediaInfo(**{**message["info"], "path": os.fsdecode(path)})
    for name, kind in _DECLARED.items():
        if not isinstance(getattr(info, name), kind):
            raise TypeError(f"{name} is no {kind}")
    return info


def _receive(
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
            cause = _overdue(worked + time.monotonic() - began, settings)
        raise MediaError(path, cause) from error


def _raise_for(
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
        raise MediaError(path, _NONSENSE)


def _overdue(seconds: float, settings: DecodeSettings) -> str:
    return (
        f"decoding it took longer than {settings.max_wall_seconds:g} s ({seconds:.1f} s so far); "
        "if the file can be trusted, raise media.max_wall_seconds"
    )
