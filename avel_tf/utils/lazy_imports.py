"""Deferred imports of large libraries, without their log output."""

from __future__ import annotations

import gc
import importlib
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

# Libraries that Keras imports at its start for wrappers and plots, if they are installed. That
# takes as long as TensorFlow itself, and the commands of avel use neither.
OPTIONAL_IN_KERAS = ("sklearn", "matplotlib")
# True in the process of a command and in those of the server. Other programs may need those parts
# of Keras.
is_command = False


def load_tensorflow() -> None:
    """Import TensorFlow without the lines that its C++ code prints before a log level can be set.

    They are about missing GPUs and rounding, and would precede the output of every command. In the
    process of a command, Keras is imported without the libraries that it can do without, and what
    has been imported, 300,000 objects, is left out of later searches for garbage.
    """
    if "tensorflow" in sys.modules:
        return
    hidden = [name for name in OPTIONAL_IN_KERAS if is_command and name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]
    try:
        with without_stderr(), without_garbage_collection():
            importlib.import_module("tensorflow")
    finally:
        for name in hidden:
            del sys.modules[name]
    if is_command:
        gc.freeze()


@contextmanager
def without_garbage_collection() -> Iterator[None]:
    """Do not search for garbage within the block, for imports, which make none."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@contextmanager
def without_stderr() -> Iterator[None]:
    """Suppress what C++ code writes to standard error within the block."""
    kept = os.dup(2)
    silence = os.open(os.devnull, os.O_WRONLY)
    sys.stderr.flush()
    os.dup2(silence, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(silence)


@contextmanager
def without_tensorflow_log() -> Iterator[None]:
    """Suppress TensorFlow's log within the block, for failures that are expected and handled."""
    log = logging.getLogger("tensorflow")
    level = log.level
    log.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        log.setLevel(level)


@contextmanager
def root_logger_restored() -> Iterator[None]:
    """Undo changes of the root logger that are made inside.

    OpenVINO's `convert_model` sets its level to ERROR and adds a handler and a filter
    (`openvino/tools/ovc/logger.py`), which would drop the warnings of the whole process.
    """
    root = logging.getLogger()
    level, handlers, filters = root.level, root.handlers[:], root.filters[:]
    try:
        yield
    finally:
        root.setLevel(level)
        root.handlers[:], root.filters[:] = handlers, filters


def load_openvino(*, conversion: bool = True) -> ModuleType:
    """Import OpenVINO without its telemetry.

    Args:
        conversion: Whether `convert_model` is needed. Its import takes two thirds of the time, and
            OpenVINO does without it (`openvino/__init__.py`).

    OpenVINO sends usage data at import and at every conversion, unless its telemetry package is
    missing, which it supports (`openvino/tools/ovc/telemetry_utils.py`). This protects privacy, and
    a machine without a network does not wait for a connection.
    """
    if "openvino" not in sys.modules:
        hidden = ["openvino_telemetry", *["openvino.tools.ovc"] * (not conversion)]
        sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]
    return importlib.import_module("openvino")
