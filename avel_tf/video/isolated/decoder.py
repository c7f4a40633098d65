"""Decoding in worker processes, so that a hostile file cannot harm the calling process."""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from types import TracebackType
from typing import Any

from avel_tf.video.clip import Clip, MediaInfo
from avel_tf.video.decode_request import STDIN, DecodeRequest
from avel_tf.video.decode_settings import DecodeSettings
from avel_tf.video.errors import MediaError
from avel_tf.video.isolated.process import DecoderDied, DecoderProcess
from avel_tf.video.isolated.protocol import (
    NONSENSE,
    BlockMemory,
    decode_message,
    parse_block,
    parse_info,
    probe_message,
    raise_for,
)

logger = logging.getLogger(__name__)

# New workers that may die before they start on a file. Idle workers that have ended (they do after
# two minutes without work) are not counted.
_STARTS = 3


class IsolatedDecoder:
    """Pool of worker processes that decode media files without TensorFlow.

    If a file crashes its decoder, hangs it or makes it exceed its memory limit, only that file
    fails: a `MediaError` gives the cause, and the next file gets a new worker process. Blocks are
    passed in shared memory, everything else as JSON.

    Any number of threads may use one decoder. Each file that is being decoded has a worker process
    of its own; idle ones wait for the next file. Linux only.

    Example:
        >>> with IsolatedDecoder() as decoder:
        ...     for block in decoder.decode(DecodeRequest("match.mkv")):
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
        """Ends the idle workers; a busy one ends with its file."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for worker in idle:
            worker.close()

    @property
    def idle_pids(self) -> tuple[int, ...]:
        """Process ids of the idle workers."""
        with self._lock:
            return tuple(worker.pid for worker in self._idle)

    def decode(self, request: DecodeRequest) -> Iterator[Clip]:
        """Decodes one source in a worker process that is at most one block ahead of the caller.

        Args:
            request: The source, the form of its clips, and the limits.

        Yields:
            Blocks. The source is opened when the first one is requested.

        Raises:
            MediaError: The source cannot be decoded, or not to its end.
            RuntimeError: No worker process can be started.
        """
        path, settings = request.shown_path, request.settings
        if request.live:
            # The worker itself waits `max_stall_seconds` for the stream.
            settings = replace(settings, max_stall_seconds=2 * settings.max_stall_seconds)
        stream = request.descriptor if request.live and request.path == STDIN else None
        worker, memory = self._begin(decode_message(request), request.block_shape, stream)
        assert memory is not None
        reusable = False
        worked = 0.0  # seconds that the worker spent on this file, without waiting for the caller
        try:
            while True:
                message = receive_in_time(worker, path, settings, worked, "the next block")
                try:
                    clip = parse_block(path, message, memory)
                    worked = max(worked, float(message.get("worked", worked)))
                except (KeyError, TypeError, ValueError, OverflowError) as error:
                    raise MediaError(path, NONSENSE) from error
                if clip is None:
                    reusable = message["kind"] in ("end", "refused")
                    raise_for(path, message, settings)
                    return
                worker.send("free")
                if worked > settings.max_wall_seconds:
                    raise MediaError(path, _overdue(worked, settings))
                yield clip
        except GeneratorExit:
            # A worker that waits for a live stream receives no message.
            reusable = not request.live and worker.stop_job()
            raise
        finally:
            self._give_back(worker, reusable)

    def probe(
        self, path: str | bytes | os.PathLike, settings: DecodeSettings | None = None
    ) -> MediaInfo:
        """Reads what the header of a file declares, in a worker process.

        Raises:
            MediaError: The file cannot be opened, has no video track, declares more than the
                limits, or crashes or hangs its reader.
            RuntimeError: No worker process can be started.
        """
        settings = settings or DecodeSettings()
        worker, _ = self._begin(probe_message(path, settings), None)
        reusable = False
        try:
            message = receive_in_time(worker, path, settings, 0.0, "its header")
            try:
                reusable = message["kind"] in ("info", "refused")
                if message["kind"] == "info":
                    return parse_info(path, message)
            except (KeyError, TypeError) as error:
                raise MediaError(path, NONSENSE) from error
            raise_for(path, message, settings)
            raise MediaError(path, NONSENSE)
        finally:
            self._give_back(worker, reusable)

    def _begin(
        self, message: bytes, shape: tuple[int, ...] | None, stream: int | None = None
    ) -> tuple[DecoderProcess, BlockMemory | None]:
        """Returns a worker that has started on a file, with shared memory of the given shape."""
        reason = ""
        starts = 0
        while starts < _STARTS:
            worker = self._take_idle()
            if worker is None:
                worker = DecoderProcess()
                starts += 1
            memory = worker.memory
            if shape is not None and (memory is None or memory.shape != shape):
                memory = BlockMemory(shape)
            try:
                worker.begin(message, memory, stream)
            except DecoderDied as error:
                logger.debug("decoder %d: %s", worker.pid, error)
                words = worker.errors()
                reason = f"{error}. {words}" if words else f"{error}."
                worker.close(kill=True)
                continue
            return worker, memory
        raise RuntimeError(
            f"No decoder process can be started: {reason} Set media.isolated to false to decode "
            "without one."
        )

    def _take_idle(self) -> DecoderProcess | None:
        with self._lock:
            if self._owner != os.getpid():
                # After a fork the workers still belong to the process that started them.
                self._idle, self._owner = [], os.getpid()
            if self._closed:
                raise RuntimeError("This decoder has been closed.")
            return self._idle.pop() if self._idle else None

    def _give_back(self, worker: DecoderProcess, reusable: bool) -> None:
        with self._lock:
            if reusable and not self._closed:
                self._idle.append(worker)
                return
        worker.close(kill=True)


@cache
def shared_decoder() -> IsolatedDecoder:
    """Returns the decoder that this process shares, so that workers are started once."""
    decoder = IsolatedDecoder()
    atexit.register(decoder.close)
    return decoder


def receive_in_time(
    worker: DecoderProcess,
    path: str | bytes | os.PathLike,
    settings: DecodeSettings,
    worked: float,
    awaited: str,
) -> dict[str, Any]:
    """Receives the next reply within the time limits; `worked` seconds have been spent so far."""
    left = settings.max_wall_seconds - worked
    began = time.monotonic()
    try:
        return worker.receive(min(left, settings.max_stall_seconds))
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


def _overdue(seconds: float, settings: DecodeSettings) -> str:
    return (
        f"decoding it took longer than {settings.max_wall_seconds:g} s ({seconds:.1f} s so far); "
        "if the file can be trusted, raise media.max_wall_seconds"
    )
