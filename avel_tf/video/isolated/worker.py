"""Worker process: `python -m avel_tf.video.isolated.worker DESCRIPTOR [WRITTEN_BYTES]`.

It imports no TensorFlow, receives one job after the other over a socket, and replies with the
messages of `protocol`. For `IsolatedDecoder` it writes frames and waveforms into shared memory; for
`avel_tf.video.media_job` it runs a function that reads one media file and may write others.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import select
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from avel_tf.utils.child_process import end_with_parent
from avel_tf.video.decode_request import STDIN, DecodeRequest
from avel_tf.video.decode_settings import DecodeSettings
from avel_tf.video.errors import MediaError
from avel_tf.video.isolated.protocol import (
    MESSAGE_BYTES,
    SLOTS,
    BlockMemory,
    describe_block,
    describe_info,
    parse_request,
    parse_settings,
)
from avel_tf.video.probe import probe
from avel_tf.video.stream_decoder import decode_in_process

# An idle worker ends after this time; the parent starts another when it needs one.
_IDLE_SECONDS = 120
# Descriptors of a worker: the file, three standard streams, socket, memory and a few more.
_OPEN_FILES = 64
# A decoding worker writes only to its standard error, which is kept in memory.
_WRITTEN_BYTES = 1 << 20


class _StopJob(Exception):
    """The parent has stopped the current job."""


def main() -> None:
    """Serves the parent at the other end of the socket until it closes."""
    parent = socket.socket(fileno=int(sys.argv[1]))
    end_with_parent(parent.fileno())
    written = int(sys.argv[2]) if len(sys.argv) > 2 else _WRITTEN_BYTES
    for limit, value in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, written),
        (resource.RLIMIT_NOFILE, _OPEN_FILES),
    ):
        _, highest = resource.getrlimit(limit)
        if highest != resource.RLIM_INFINITY:
            value = min(value, highest)
        resource.setrlimit(limit, (value, value))
    _serve(parent)


def _serve(parent: socket.socket) -> None:
    memory: BlockMemory | None = None
    while select.select([parent], [], [], _IDLE_SECONDS)[0]:
        text, descriptors, _, _ = socket.recv_fds(parent, MESSAGE_BYTES, 2)
        if not text:
            return
        job = json.loads(text)
        if job["do"] == "run":
            _send(parent, kind="begun")
            _send(parent, **_run_function(parent, job["request"], descriptors.pop()))
            continue
        if job["do"] not in ("decode", "probe"):
            continue  # "stop" or "free" for a job that has ended
        request = parse_request(job["request"])
        if request.live and request.path == STDIN:
            request = replace(request, descriptor=descriptors.pop())
        if descriptors:
            memory = BlockMemory(request.block_shape, descriptors[0])
            memory.close_descriptor()
        # From here on the parent attributes the end of this process to the file.
        _send(parent, kind="begun")
        _send(parent, **_run(parent, job["do"], request, memory))


def _run(
    parent: socket.socket, task: str, request: DecodeRequest, memory: BlockMemory | None
) -> dict[str, Any]:
    """Decodes or probes one file; returns the last message about it."""

    def work() -> dict[str, Any]:
        if task == "probe":
            return {"kind": "info", "info": describe_info(probe(request.path, request.settings))}
        assert memory is not None  # the parent sends it with the first file to decode
        worked = _send_blocks(parent, decode_in_process(request), memory)
        return {"kind": "end", "worked": worked}

    return _last_message(work, request.settings)


def _run_function(
    parent: socket.socket, request: dict[str, Any], descriptor: int
) -> dict[str, Any]:
    """Runs the function of a job of `avel_tf.video.media_job`; returns the last message."""
    settings = parse_settings(request["settings"])

    def work() -> dict[str, Any]:
        with open(descriptor, "rb") as file:
            file.seek(0)
            arguments = json.load(file)
        module, name = request["function"].split(":")
        # The name comes from the parent, not from the file.
        function = getattr(importlib.import_module(module), name)
        for step in function(request["path"], settings, arguments):
            _send(parent, kind="step", step=step)
        return {"kind": "end"}

    return _last_message(work, settings)


def _last_message(work: Callable[[], dict[str, Any]], settings: DecodeSettings) -> dict[str, Any]:
    """Does the work on one file within its limits; returns the last message about it."""
    _limit_resources(settings)
    try:
        return work()
    except MediaError as error:
        return {"kind": "refused", "cause": error.cause}
    except _StopJob:
        return {"kind": "stopped"}
    except MemoryError:
        return {"kind": "memory"}
    except Exception as error:  # any library error that a hostile file provokes fails this file
        if "memory" in str(error).lower():  # OpenCV has one error class for everything
            return {"kind": "memory"}
        return {"kind": "failed", "cause": f"{type(error).__name__}: {error}"[:500]}
    finally:
        # The rest must not fail for lack of memory.
        _, highest = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, (highest, highest))


def _limit_resources(settings: DecodeSettings) -> None:
    """Limits memory and processor time for one file, on top of what this process already uses."""
    with open("/proc/self/statm") as counts:  # pages, see proc(5); the sixth number is data
        data = int(counts.read().split()[5]) * resource.getpagesize()
    allowed = data + settings.max_memory_mb * (1 << 20)
    # RLIMIT_DATA counts writable memory. RLIMIT_AS would also count address space that threads
    # reserve, hundreds of megabytes on a machine with many cores.
    _, highest = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (allowed, highest))
    # The parent measures the time; this limit applies if the parent is stopped or killed.
    usage = resource.getrusage(resource.RUSAGE_SELF)
    cores = len(os.sched_getaffinity(0))
    seconds = int(usage.ru_utime + usage.ru_stime + settings.max_wall_seconds * cores) + 1
    _, highest = resource.getrlimit(resource.RLIMIT_CPU)
    if highest == resource.RLIM_INFINITY or seconds < highest:
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, highest))


def _send_blocks(parent: socket.socket, blocks: Any, memory: BlockMemory) -> float:
    """Writes each block to a free slot and announces it; returns the seconds of work."""
    slot, free = 0, SLOTS
    waited, began = 0.0, time.monotonic()
    for clip in blocks:
        waiting = time.monotonic()
        # Read all pending messages; if no slot is free, wait for one.
        while not free or select.select([parent], [], [], 0)[0]:
            text = parent.recv(MESSAGE_BYTES)
            if not text:
                os._exit(0)
            if json.loads(text)["do"] == "stop":
                raise _StopJob
            free += 1
        waited += time.monotonic() - waiting
        frames, waveform = memory.slot(slot, clip.seconds)
        np.copyto(frames, clip.frames)
        np.copyto(waveform, clip.waveform)
        worked = time.monotonic() - began - waited
        _send(parent, kind="block", slot=slot, worked=worked, **describe_block(clip))
        slot, free = (slot + 1) % SLOTS, free - 1
    return time.monotonic() - began - waited


def _send(parent: socket.socket, **message: Any) -> None:
    try:
        parent.send(json.dumps(message).encode())
    except OSError:
        os._exit(0)  # the parent is gone


if __name__ == "__main__":
    main()
