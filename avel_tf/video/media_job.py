"""Functions that read a media file and write others, run in a worker process."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from avel_tf.video.decode_settings import DecodeSettings
from avel_tf.video.errors import MediaError
from avel_tf.video.isolated.decoder import receive_in_time
from avel_tf.video.isolated.process import DecoderDied, DecoderProcess
from avel_tf.video.isolated.protocol import NONSENSE, absolute, function_message, raise_for

# Drawing and encoding take a multiple of the time of decoding, which `max_wall_seconds` limits.
_TIMES_DECODING = 10

MediaFunction = Callable[[str, DecodeSettings, dict[str, Any]], Iterator[Any]]


def run_media_job(
    function: MediaFunction,
    path: str | bytes | os.PathLike,
    settings: DecodeSettings,
    arguments: dict[str, Any],
) -> Iterator[Any]:
    """Runs a function on a media file, in a worker process unless `settings.isolated` is off.

    A file that crashes the libraries that read it, or hangs them, fails alone, as in decoding. The
    worker may write files, and has ten times the time of decoding.

    Args:
        function: A generator function of a module. It takes the path, the settings and the
            arguments, and yields JSON values of up to 100 kB, at least one every
            `max_stall_seconds`.
        path: The file.
        settings: Limits and isolation of decoding.
        arguments: JSON values for the function. Paths in it must be absolute.

    Yields:
        The values that the function yields.

    Raises:
        MediaError: The file cannot be read, or the function failed.
        RuntimeError: No worker process can be started.
    """
    name = f"{function.__module__}:{function.__qualname__}"
    settings = replace(settings, max_wall_seconds=_TIMES_DECODING * settings.max_wall_seconds)
    if not settings.isolated:
        yield from function(absolute(path), settings, arguments)
        return
    content = os.memfd_create("avel-arguments", os.MFD_CLOEXEC)
    try:
        with open(content, "w", encoding="utf-8", closefd=False) as file:
            json.dump(arguments, file)
        worker = DecoderProcess(written_bytes=settings.max_file_bytes)
        try:
            yield from _steps(
                worker, function_message(name, path, settings), content, path, settings
            )
        finally:
            worker.close(kill=True)
    finally:
        os.close(content)


def _steps(
    worker: DecoderProcess,
    message: bytes,
    content: int,
    path: str | bytes | os.PathLike,
    settings: DecodeSettings,
) -> Iterator[Any]:
    """Values that the function yields in the worker."""
    try:
        worker.begin(message, None, content)
    except DecoderDied as error:
        raise RuntimeError(
            f"No worker process can be started: {error}. {worker.errors()} Set media.isolated to "
            "false to work without one."
        ) from error
    worked = 0.0
    while True:
        began = time.monotonic()
        reply = receive_in_time(worker, path, settings, worked, "the next second")
        worked += time.monotonic() - began
        if reply.get("kind") != "step":
            break
        yield reply.get("step")
    try:
        raise_for(path, reply, settings)
    except KeyError as error:
        raise MediaError(path, NONSENSE) from error
