"""Imports without noise."""

from __future__ import annotations

import importlib
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType


def load_tensorflow() -> None:
    """Import TensorFlow without the lines its C++ prints before any log level can be set.

    They speak of GPUs that are not there and of rounding, and would be the first thing that a
    newcomer reads.
    """
    kept = os.dup(2)
    silence = os.open(os.devnull, os.O_WRONLY)
    sys.stderr.flush()
    os.dup2(silence, 2)
    try:
        importlib.import_module("tensorflow")
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(silence)


@contextmanager
def without_tensorflow_log() -> Iterator[None]:
    """Nothing of TensorFlow's own log inside, for what may fail and is provided for.

    A reader takes a thousand lines of ERROR for a failure.
    """
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


def load_openvino() -> ModuleType:
    """Import OpenVINO without letting it report to its makers.

    It sends usage data at import and at every conversion unless its telemetry package is missing,
    for which it is prepared (`openvino/tools/ovc/telemetry_utils.py`). What people watch is
    nobody's business, and a machine without a network would wait for the answer.
    """
    if "openvino" not in sys.modules:
        sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    return importlib.import_module("openvino")
