"""Imports without noise."""

from __future__ import annotations

import importlib
import os
import sys


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
