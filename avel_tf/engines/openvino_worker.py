"""Worker process of `OpenVinoProcess`: `python -m avel_tf.engines.openvino_worker DESCRIPTOR`.

It compiles networks, runs them on arrays in shared memory, and quantizes them. It imports no
TensorFlow.
"""

from __future__ import annotations

import json
import mmap
import os
import resource
import socket
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from avel_tf.utils.child_process import end_with_parent
from avel_tf.utils.lazy_imports import load_openvino

# Above the longest message.
MESSAGE_BYTES = 1 << 16
# Arrays begin at multiples of this many bytes, the widest vector of a processor.
ALIGNMENT = 64
# Above the number of calls that run at the same time.
_MOST_CALLS = 1_000


def aligned(offset: int) -> int:
    """The next offset at which an array may begin."""
    return offset + -offset % ALIGNMENT


class _Slot:
    """Shared memory of one call at a time: its inputs, followed by its outputs."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._memory = np.empty(0, np.uint8)

    def arrays(self, layouts: list[list[Any]]) -> tuple[list[np.ndarray], int]:
        """Views of the inputs, and the offset after them.

        Args:
            layouts: Type, shape and offset of each input.
        """
        dtypes = [np.dtype(kind) for kind, _, _ in layouts]
        sizes = [
            dtype.itemsize * int(np.prod(shape))
            for dtype, (_, shape, _) in zip(dtypes, layouts, strict=True)
        ]
        end = max(offset + size for size, (_, _, offset) in zip(sizes, layouts, strict=True))
        if end > len(self._memory):
            length = os.fstat(self._descriptor).st_size
            self._memory = np.frombuffer(mmap.mmap(self._descriptor, length), np.uint8)
        views = [
            self._memory[offset : offset + size].view(dtype).reshape(shape)
            for dtype, size, (_, shape, offset) in zip(dtypes, sizes, layouts, strict=True)
        ]
        return views, aligned(end)

    def write(self, array: np.ndarray, offset: int) -> None:
        """Write an output, after which the memory grows as needed."""
        os.pwrite(self._descriptor, array.data, offset)


class Worker:
    """Compiles and runs networks for the process at the other end of a socket."""

    def __init__(self, parent: socket.socket) -> None:
        self._parent = parent
        self._core = load_openvino(conversion=False).Core()
        self._networks: dict[int, Any] = {}
        self._slots: dict[int, _Slot] = {}
        self._idle: dict[int, list[Any]] = {}  # inference requests of each network
        self._functions: dict[str, Callable[[dict[str, Any]], Any]] = {
            "compile": self._compile,
            "run": self._run,
            "quantize": self._quantize,
        }
        # Of the exchange of arrays with OpenVINO 2026.4: the first time, its binding fills tables
        # in static variables without the GIL, and two threads that do so wait for each other.
        self._exchange = threading.Lock()

    def serve(self) -> None:
        """Answer messages; several calls run at the same time."""
        # A thread starts only if all others wait for a call.
        threads = ThreadPoolExecutor(_MOST_CALLS)
        while True:
            text, descriptors, _, _ = socket.recv_fds(self._parent, MESSAGE_BYTES, 1)
            if not text:
                return
            message = json.loads(text)
            if descriptors:
                self._slots[message["slot"]] = _Slot(descriptors[0])
            threads.submit(self._answer, message)

    def _answer(self, message: dict[str, Any]) -> None:
        try:
            answer: dict[str, Any] = {"value": self._functions[message["do"]](message)}
        except Exception as error:  # an error of the library is one of the caller
            answer = {"error": f"{type(error).__name__}: {error}"[:2000]}
        try:
            self._parent.send(json.dumps({"number": message["number"], **answer}).encode())
        except OSError:
            os._exit(0)  # the parent has ended

    def _compile(self, message: dict[str, Any]) -> int:
        # By its path, so that the file is not read if OpenVINO's cache has the compiled network.
        network = self._core.compile_model(message["path"], "CPU", message["properties"])
        self._idle[message["number"]] = []
        self._networks[message["number"]] = network
        return network.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")

    def _quantize(self, message: dict[str, Any]) -> dict[str, int]:
        """Quantize a network; returns the number of its layers in int8 and in float."""
        from avel_tf.engines.quantize_network import quantize

        return quantize(self._core, *map(Path, (message["path"], message["sample"], message["to"])))

    def _run(self, message: dict[str, Any]) -> list[tuple]:
        """Run a network; returns type, shape and offset of each output in the slot."""
        idle = self._idle[message["network"]]
        slot = self._slots[message["slot"]]
        with self._exchange:
            network = self._networks[message["network"]]
            request = idle.pop() if idle else network.create_infer_request()
            arrays, offset = slot.arrays(message["arrays"])
            # The arrays are not copied: the parent leaves the slot alone until it has the answer.
            request.start_async(arrays, share_inputs=True)
        request.wait()
        layouts = []
        with self._exchange:
            for tensor in request.output_tensors:
                array = np.ascontiguousarray(tensor.data)
                slot.write(array, offset)
                layouts.append((array.dtype.str, array.shape, offset))
                offset = aligned(offset + array.nbytes)
            idle.append(request)
        return layouts


def main() -> None:
    """Serve the parent at the other end of the socket until it closes."""
    parent = socket.socket(fileno=int(sys.argv[1]))
    end_with_parent(parent.fileno())
    # A crash leaves no file of the size of the process.
    _, highest = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, highest))
    Worker(parent).serve()
    os._exit(0)  # threads of OpenVINO need no orderly end


if __name__ == "__main__":
    main()
