"""Memory limit for features."""

from __future__ import annotations

import pytest

from avel_tf.training import memory
from avel_tf.training.memory import memory_for_features


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Says what the machine has: kB available, and the text of the container's limit."""

    def describe(available: int, limit: str) -> None:
        (tmp_path / "meminfo").write_text(f"MemTotal: 99999999 kB\nMemAvailable: {available} kB\n")
        (tmp_path / "limit").write_text(limit + "\n")
        monkeypatch.setattr(memory, "_MEMINFO", tmp_path / "meminfo")
        monkeypatch.setattr(memory, "_LIMITS", (tmp_path / "limit", tmp_path / "no such file"))

    return describe


def test_half_of_what_is_available(machine):
    machine(1_000, "max")
    assert memory_for_features(None) == 512_000


def test_a_container_has_less(machine):
    machine(1_000, "300000")
    assert memory_for_features(None) == 150_000


def test_what_is_set_counts(machine):
    machine(1_000, "300000")
    assert memory_for_features(0.5) == 5e8
    assert memory_for_features(0) == 0


def test_this_machine():
    assert 1e6 < memory_for_features(None) < 1e14
