"""Fixtures of the media tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.video.films import clicks, write_film


@pytest.fixture(scope="session")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three seconds of H.264 at 25/s with AAC that clicks at 0.3, 1 and 2.5 s."""
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    return write_film(path, seconds=3, sound=clicks(3, 48_000, (0.3, 1.0, 2.5)))
