"""One loaded engine for the tests of this folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from avel_tf.engines.engine import Engine
from avel_tf.inference.pipeline import InferencePipeline
from tests.conftest import FLOAT32


@pytest.fixture(scope="session")
def engine(exported: Path) -> Engine:
    """The networks of `exported` in TensorFlow and float32."""
    return InferencePipeline(exported, engine=FLOAT32)._loaded_engine([])


@pytest.fixture
def one_engine(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes every pipeline use `engine`, because loading one takes longer than most tests.

    Pipelines must be of `exported`, and their settings those of `FLOAT32`.
    """
    monkeypatch.setattr(InferencePipeline, "_loaded_engine", lambda pipeline, paths: engine)
