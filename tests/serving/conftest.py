"""Servers that the tests share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import avel_tf
from tests.conftest import FLOAT32
from tests.serving.running import Running, fake_options, real_options, running


@pytest.fixture(scope="session")
def fake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server with the fake model; tests leave it running."""
    with running(fake_options(tmp_path_factory.mktemp("fake"))) as server:
        yield server


@pytest.fixture(scope="session")
def real(
    exported: Path, clips: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    """A server with a small trained model, whose folder of videos is a data set.

    Tests correct and label its videos, so each begins with those that are there.
    """
    with running(real_options(exported, clips, tmp_path_factory.mktemp("state"))) as server:
        yield server


@pytest.fixture(scope="session")
def localizer(exported: Path) -> avel_tf.Localizer:
    """The model of `real` in this process."""
    return avel_tf.load(exported, engine=FLOAT32)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder for the data and state of one server."""
    (tmp_path / "data").mkdir()
    return tmp_path
