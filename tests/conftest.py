"""Fixtures that every test folder shares."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# Before any test imports TensorFlow: its start-up messages drown what pytest has to say, and a
# machine with a GPU must give the numbers that the tests were written against.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real weights, clips and odd files that may lie beside the project."""
    if not SHARED.is_dir():
        pytest.skip(f"real weights and clips are absent: {SHARED} is not a folder")
    return SHARED
