"""Decoding in child processes, so that a file can harm nothing but itself."""

from __future__ import annotations

import atexit
import logging
import os
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from functools import cache
from types import TracebackType

from avel_tf.video.clip import Clip
from avel_tf.video.decode import check_request, join
from avel_tf.video.decode_settings import DecodeSettings
from avel_tf.video.errors import MediaError
from avel_tf.video.isolated.block_memory import BlockMemory
from avel_tf.video.isolated.process import DecoderDied, DecoderProcess
from avel_tf.video.isolated.protocol import NONSENSE, clip_of, info_of, overdue, raise_for, receive
from avel_tf.video.isolated.worker import probe_request, request
from avel_tf.video.live import STDIN, check_source, live_settings, without_login
from avel_tf.video.probe import MediaInfo

logger = logging.getLogger(__name__)

# How many new children may die before they have begun a file. One that had waited for work and is
# gone (it ends by itself after two minutes without any) does not count, however many there are.
_STARTS = 3
# Blocks in which `decode_clip` fetches a file; the memory for two of them is shared.
_CLIP_BLOCK_SECONDS = 10


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
        """What `avel_tf.video.decode_blocks` gives, decoded in a child process.

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
        """What `avel_tf.video.decode_clip` gives, decoded in a child process.

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

    def decode_live(
        self,
        source: str,
        *,
        descriptor: int = 0,
        frames_per_second: int = 1,
        size: tuple[int, int] = (224, 224),
        settings: DecodeSettings | None = None,
    ) -> Iterator[Clip]:
        """What `avel_tf.video.live.decode_live` gives, decoded in a child process.

        Args:
            source: `-` for standard input, or an address.
            descriptor: What is read for `-`; the child gets it.
            frames_per_second: F, pictures per second.
            size: (H, W) to which the whole picture is resized.
            settings: Limits; those of length and time do not apply.

        Returns:
            An iterator of clips of T = 1; the stream is opened when the first is asked for.

        Raises:
            MediaError: Nothing can be had from this stream, or no more, or some of it was damaged.
            ValueError: An argument is out of range.
            RuntimeError: Child processes cannot be started.
        """
        check_source(source)
        check_request(frames_per_second, size)
        limits = live_settings(settings or DecodeSettings())
        text = request(source, 1, None, frames_per_second, (size[0], size[1]), limits, live=True)
        # The child waits that long for the stream; it is overdue when it is silent for longer.
        patience = replace(limits, max_stall_seconds=2 * limits.max_stall_seconds)
        return self._blocks(
            without_login(source),
            text,
            (1, frames_per_second, *size),
            patience,
            live=True,
            stream=descriptor if source == STDIN else None,
        )

    def probe(
        self, path: str | bytes | os.PathLike, settings: DecodeSettings | None = None
    ) -> MediaInfo:
        """What `avel_tf.video.probe.probe` gives, read in a child process.

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
            message = receive(child, path, settings, 0.0, "its header")
            try:
                reusable = message["kind"] in ("info", "refused")
                if message["kind"] == "info":
                    return info_of(path, message)
            except (KeyError, TypeError) as error:
                raise MediaError(path, NONSENSE) from error
            raise_for(path, message, settings)
            raise MediaError(path, NONSENSE)
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
        text = request(_absolute(path), block_seconds, stop_at, frames_per_second, size, settings)
        return self._blocks(path, text, (block_seconds, frames_per_second, *size), settings)

    def _blocks(
        self,
        path: str | bytes | os.PathLike,
        text: bytes,
        form: tuple[int, ...],
        settings: DecodeSettings,
        *,
        live: bool = False,
        stream: int | None = None,
    ) -> Iterator[Clip]:
        """What the child hands out when it is asked with this text."""
        child, memory = self._begin(text, form, stream)
        assert memory is not None
        reusable = False
        worked = 0.0  # seconds that the child has spent on this file, waiting for us not counted
        try:
            while True:
                message = receive(child, path, settings, worked, "the next block")
                try:
                    clip = clip_of(path, message, memory)
                    worked = max(worked, float(message.get("worked", worked)))
                except (KeyError, TypeError, ValueError, OverflowError) as error:
                    raise MediaError(path, NONSENSE) from error
                if clip is None:
                    reusable = message["kind"] in ("end", "refused")
                    raise_for(path, message, settings)
                    return
                child.tell("free")
                if worked > settings.max_wall_seconds:
                    raise MediaError(path, overdue(worked, settings))
                yield clip
        except GeneratorExit:
            # One that waits for a stream hears nothing else.
            reusable = not live and child.stop_job()
            raise
        finally:
            self._give_back(child, reusable)

    def _begin(
        self, text: bytes, form: tuple[int, ...] | None, stream: int | None = None
    ) -> tuple[DecoderProcess, BlockMemory | None]:
        """A child that is at work on the file, and memory of the form that is wanted."""
        reason = ""
        starts = 0
        while starts < _STARTS:
            child = self._take_idle()
            if child is None:
                child = DecoderProcess()
                starts += 1
            memory = child.memory
            if form is not None and (memory is None or memory.shape != form):
                memory = BlockMemory(form[0], form[1], (form[2], form[3]))
            try:
                child.begin(text, memory, stream)
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

    def _take_idle(self) -> DecoderProcess | None:
        with self._lock:
            if self._owner != os.getpid():
                # After a fork the children belong to the process that started them.
                self._idle, self._owner = [], os.getpid()
            if self._closed:
                raise RuntimeError("This decoder has been closed.")
            return self._idle.pop() if self._idle else None

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
