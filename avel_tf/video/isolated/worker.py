"""The child process of `IsolatedDecoder`: `python -m avel_tf.video.isolated.worker DESCRIPTOR`.

It imports no TensorFlow, takes one job after the other over a socket, writes pictures and sound
into shared memory and says in JSON what it did, or what a header declares. JSON, not pickle:
whoever takes over a decoder through a hostile file must not be able to run code in the parent.
"""

from __future__ import annotations

import json
import os
import resource
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, fields
from typing import Any

import numpy as np

from avel_tf.video.clip import Clip
from avel_tf.video.decode import decode_until
from avel_tf.video.decode_settings import DecodeSettings
from avel_tf.video.errors import MediaError
from avel_tf.video.isolated.block_memory import SLOTS, BlockMemory
from avel_tf.video.live import STDIN, decode_live
from avel_tf.video.probe import MediaInfo, probe

# Longer than any message: a name has up to 4,096 bytes, which JSON may spell with six each.
MESSAGE_BYTES = 1 << 17
# A child without work ends by itself; its parent starts another when it needs one.
_IDLE_SECONDS = 120
# What a decoder needs besides the film: three standard streams, socket, memory and a few more.
_OPEN_FILES = 64
# Nothing is written but what goes to the standard error, which is kept in memory.
_WRITTEN_BYTES = 1 << 20


class _StopJob(Exception):
    """The parent wants no more of this file."""


def main() -> None:
    """Serves the parent at the other end of the socket until it goes away."""
    # A cluster that takes a machine back may send it to every process. The parent obeys; were this
    # one to die first, the file in hand would be blamed. `_end_with` ends it with the parent.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    parent = socket.socket(fileno=int(sys.argv[1]))
    threading.Thread(target=_end_with, args=(parent.fileno(),), daemon=True).start()
    for limit, value in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, _WRITTEN_BYTES),
        (resource.RLIMIT_NOFILE, _OPEN_FILES),
    ):
        _, highest = resource.getrlimit(limit)
        if highest != resource.RLIM_INFINITY:
            value = min(value, highest)
        resource.setrlimit(limit, (value, value))
    _serve(parent)


def _end_with(descriptor: int) -> None:
    """Ends this process when the parent's end of the socket is gone, whatever else it is doing."""
    poll = select.poll()
    poll.register(descriptor, 0)  # a hang-up is always told
    poll.poll()
    os._exit(0)


def _serve(parent: socket.socket) -> None:
    memory: BlockMemory | None = None
    while select.select([parent], [], [], _IDLE_SECONDS)[0]:
        text, descriptors, _, _ = socket.recv_fds(parent, MESSAGE_BYTES, 2)
        if not text:
            return
        job = json.loads(text)
        if job["do"] not in ("decode", "live", "probe"):
            continue  # "stop" or "free" for a job that had just ended
        if job["do"] == "live" and job["path"] == STDIN:
            job["descriptor"] = descriptors.pop()
        if descriptors:
            memory = BlockMemory(
                job["block_seconds"], job["frames_per_second"], job["size"], descriptors[0]
            )
            memory.close_descriptor()
        # From here on, whatever happens to this process is the file's doing.
        _send(parent, kind="begun")
        _send(parent, **_run(parent, job, memory))


def _run(parent: socket.socket, job: dict[str, Any], memory: BlockMemory | None) -> dict[str, Any]:
    """Decodes or probes one file; returns the last message about it."""
    settings = DecodeSettings(**{**job["settings"], "codecs": tuple(job["settings"]["codecs"])})
    _limit_resources(settings)
    try:
        if job["do"] == "probe":
            return {"kind": "info", "info": _declared(probe(job["path"], settings))}
        assert memory is not None  # the parent sends it with the first file to decode
        blocks = _blocks(job, settings)
        worked = _hand_out(parent, blocks, memory)
    except MediaError as error:
        return {"kind": "refused", "cause": error.cause}
    except _StopJob:
        return {"kind": "stopped"}
    except MemoryError:
        return {"kind": "memory"}
    except Exception as error:  # whatever a hostile film makes a library raise concerns it alone
        if "memory" in str(error).lower():  # OpenCV has one error for everything
            return {"kind": "memory"}
        return {"kind": "failed", "cause": f"{type(error).__name__}: {error}"[:500]}
    finally:
        # What is left to do must not fail for want of memory.
        _, highest = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, (highest, highest))
    return {"kind": "end", "worked": worked}


def _blocks(job: dict[str, Any], settings: DecodeSettings) -> Iterator[Clip]:
    rate, size = job["frames_per_second"], tuple(job["size"])
    if job["do"] == "live":
        return decode_live(
            job["path"],
            descriptor=job.get("descriptor", 0),
            frames_per_second=rate,
            size=size,
            settings=settings,
        )
    return decode_until(job["path"], job["block_seconds"], job["stop_at"], rate, size, settings)


def _limit_resources(settings: DecodeSettings) -> None:
    """Memory and processor time for one file, on top of what this process has taken so far."""
    with open("/proc/self/statm") as counts:  # pages, see proc(5); the sixth number is data
        data = int(counts.read().split()[5]) * resource.getpagesize()
    allowed = data + settings.max_memory_mb * (1 << 20)
    # RLIMIT_DATA counts memory that is really writable. RLIMIT_AS would count what threads merely
    # reserve, hundreds of megabytes on a machine of many cores.
    _, highest = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (allowed, highest))
    # The parent keeps the clock; this is for a parent that cannot, stopped or killed.
    usage = resource.getrusage(resource.RUSAGE_SELF)
    cores = len(os.sched_getaffinity(0))
    seconds = int(usage.ru_utime + usage.ru_stime + settings.max_wall_seconds * cores) + 1
    _, highest = resource.getrlimit(resource.RLIMIT_CPU)
    if highest == resource.RLIM_INFINITY or seconds < highest:
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, highest))


def _hand_out(parent: socket.socket, blocks: Any, memory: BlockMemory) -> float:
    """Puts each block into a free slot and says so; returns the seconds that the work took."""
    slot, free = 0, SLOTS
    waited, began = 0.0, time.monotonic()
    for clip in blocks:
        waiting = time.monotonic()
        # Whatever the parent has said meanwhile; with no slot free, until it says something.
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
        _send(parent, kind="block", slot=slot, worked=worked, **_describe(clip))
        slot, free = (slot + 1) % SLOTS, free - 1
    return time.monotonic() - began - waited


def _describe(clip: Clip) -> dict[str, Any]:
    return {
        "valid": "".join("01"[bool(valid)] for valid in clip.valid),
        "info": _declared(clip.info),
        "has_sound": clip.has_sound,
        "problem": clip.problem,
        "remark": clip.remark,
        "audio_track": clip.audio_track,
    }


def _declared(info: MediaInfo) -> dict[str, Any]:
    return {**asdict(info), "path": ""}  # the parent knows how its caller spelt it


def _send(parent: socket.socket, **message: Any) -> None:
    try:
        parent.send(json.dumps(message).encode())
    except OSError:
        os._exit(0)  # the parent is gone


def probe_request(path: str, settings: DecodeSettings) -> bytes:
    """The message that asks what the header of one file declares."""
    return json.dumps({"do": "probe", "path": path, "settings": _limits(settings)}).encode()


def request(
    path: str,
    block_seconds: int,
    stop_at: int | None,
    frames_per_second: int,
    size: tuple[int, int],
    settings: DecodeSettings,
    *,
    live: bool = False,
) -> bytes:
    """The message that asks for one file, or for a stream whose descriptor may go with it."""
    message = {
        "do": "live" if live else "decode",
        "path": path,
        "block_seconds": block_seconds,
        "stop_at": stop_at,
        "frames_per_second": frames_per_second,
        "size": size,
        "settings": _limits(settings),
    }
    return json.dumps(message).encode()


def _limits(settings: DecodeSettings) -> dict[str, Any]:
    return {field.name: getattr(settings, field.name) for field in fields(settings)}


if __name__ == "__main__":
    main()
