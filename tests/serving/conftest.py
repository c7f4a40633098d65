"""Servers that the tests share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.serving.running import Running, fake_options, running


@pytest.fixture(scope="session")
def fake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server with the fake model; tests leave it running."""
    with running(fake_options(tmp_path_factory.mktemp("fake"))) as server:
        yield server


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder for the data and state of one server."""
    (tmp_path / "data").mkdir()
    return tmp_path
