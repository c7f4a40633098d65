"""OpenVINO in a child process, whose crash does not end this process."""

from __future__ import annotations

import itertools
import json
import logging
import os
import signal
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from avel_tf.engines.engine import EngineCrashed, EngineFailed
from avel_tf.engines.openvino_worker import MESSAGE_BYTES, aligned
from avel_tf.utils.child_process import ChildProcess

logger = logging.getLogger(__name__)

WORKER = "avel_tf.engines.openvino_worker"
# Signals that a process gets for an error of its program. SIGKILL is not among them: the system
# sends it when memory runs out, which may not happen again.
FAULTS = {signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGSEGV}


class _Slot:
    """Shared memory of one call at a time."""

    def __init__(self) -> None:
        self.descriptor = os.memfd_create("avel-slot", os.MFD_CLOEXEC)

    def __del__(self) -> None:
        os.close(self.descriptor)

    def write(self, arrays: Sequence[np.ndarray]) -> list[tuple]:
        """Write arrays; returns type, shape and offset of each."""
        layouts, offset = [], 0
        for array in map(np.ascontiguousarray, arrays):
            os.pwrite(self.descriptor, array.data, offset)
            layouts.append((array.dtype.str, array.shape, offset))
            offset = aligned(offset + array.nbytes)
        return layouts

    def read(self, dtype: str, shape: list[int], offset: int) -> np.ndarray:
        """Copy of an array."""
        array = np.empty(shape, dtype)
        os.preadv(self.descriptor, [array.data], offset)
        return array


class _Call(NamedTuple):
    """A message that has not been answered, and the slot of its arrays."""

    future: Future
    slot: int | None


class OpenVinoProcess:
    """Child process that compiles and runs networks with OpenVINO, for any number of threads.

    Arrays travel in shared memory without a name, so nothing has to be removed when either process
    is killed. Each call has a slot of memory while it runs; there are as many slots as calls have
    run at the same time.

    Args:
        worker: Module that runs as the child.

    Raises:
        EngineCrashed: The process cannot be started.
    """

    def __init__(self, worker: str = WORKER) -> None:
        try:
            self._child = ChildProcess(worker, "its process")
        except OSError as error:
            raise EngineCrashed(f"its process cannot be started: {error}") from error
        logger.debug("started engine process %d", self._child.pid)
        self._numbers = itertools.count()
        self._lock = threading.Lock()  # of the fields below, and of sending
        self._calls: dict[int, _Call] = {}
        self._slots: list[_Slot] = []
        self._idle: list[int] = []  # indices of slots
        self._crash: EngineCrashed | None = None
        threading.Thread(target=self._read, daemon=True).start()

    @property
    def pid(self) -> int:
        """Number of the process."""
        return self._child.pid

    def compile(self, path: Path, properties: dict[str, str]) -> tuple[int, int]:
        """Compile a network, or load it from OpenVINO's cache.

        Args:
            path: The `.xml` of a converted network.
            properties: OpenVINO's properties of the compilation.

        Returns:
            Number of the network for `run`, and of the calls that keep the processors busy.

        Raises:
            EngineCrashed: The process has ended.
            EngineFailed: OpenVINO cannot read or compile the network.
        """
        number = next(self._numbers)
        message = {"path": str(path.resolve()), "properties": properties}
        future = self._send(number, {"do": "compile", **message}, None)
        return number, future.result()

    def quantize(self, path: Path, sample: Path, to: Path) -> dict[str, int]:
        """Quantize a network; see `avel_tf.engines.quantize_network.quantize`.

        Raises:
            EngineCrashed: The process has ended.
            EngineFailed: The network cannot be quantized.
        """
        paths = {"path": path, "sample": sample, "to": to}
        message = {name: str(each.resolve()) for name, each in paths.items()}
        return self._send(next(self._numbers), {"do": "quantize", **message}, None).result()

    def run(self, network: int, arrays: Sequence[np.ndarray]) -> Future[list[np.ndarray]]:
        """Start a call; the arrays may be changed afterwards.

        Args:
            network: Number of the network.
            arrays: Its inputs.

        Returns:
            Future of its outputs. It raises `EngineCrashed` if the process ends before.
        """
        with self._lock:
            if self._idle:
                slot, fresh = self._idle.pop(), False
            else:
                slot, fresh = len(self._slots), True
                self._slots.append(_Slot())
        layouts = self._slots[slot].write(arrays)
        message = {"do": "run", "network": network, "slot": slot, "arrays": layouts}
        return self._send(next(self._numbers), message, slot, fresh=fresh)

    def close(self) -> None:
        """End the process. Calls that are running raise `EngineCrashed`."""
        self._child.close(kill=True)

    def _send(
        self, number: int, message: dict[str, Any], slot: int | None, *, fresh: bool = False
    ) -> Future:
        future: Future = Future()
        with self._lock:
            if self._crash:
                raise self._crash
            self._calls[number] = _Call(future, slot)
            descriptors = [self._slots[slot].descriptor] if fresh and slot is not None else []
            try:
                self._child.send(json.dumps({"number": number, **message}).encode(), descriptors)
            except OSError:
                logger.debug("engine process %d has ended", self.pid)  # `_read` notices as well
        return future

    def _read(self) -> None:
        """Receive answers, in a thread, until the process ends."""
        while True:
            try:
                text = self._child.socket.recv(MESSAGE_BYTES)
            except OSError:
                text = b""
            if not text:
                break
            self._receive(json.loads(text))
        crash = _crash_of(self._child)
        with self._lock:
            self._crash = crash
            calls, self._calls = list(self._calls.values()), {}
        for call in calls:
            call.future.set_exception(crash)

    def _receive(self, answer: dict[str, Any]) -> None:
        with self._lock:
            future, slot = self._calls.pop(answer["number"])
        value = answer.get("value")
        if slot is not None and value is not None:
            value = [self._slots[slot].read(*layout) for layout in value]
        if slot is not None:
            with self._lock:
                self._idle.append(slot)
        if "error" in answer:
            future.set_exception(EngineFailed(f"OpenVINO failed: {answer['error']}"))
        else:
            future.set_result(value)


def _crash_of(child: ChildProcess) -> EngineCrashed:
    code = child.exit_code() or 0
    fault = signal.Signals(-code).name if -code in FAULTS else None
    cause, words = child.how_it_ended(), child.errors()
    if code > 0 and words:
        cause += f": {words.splitlines()[-1]}"
    return EngineCrashed(cause, fault=fault)
