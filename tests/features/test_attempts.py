"""The log of what an extraction had in hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from avel_tf.features.extraction_checkpoint import ATTEMPTS, Attempts


def run(folder: Path, *steps: tuple[str, str], died: bool = False) -> tuple[dict, dict]:
    """One run: what it learns of those before, and what it does then."""
    attempts = Attempts(folder, died=died)
    learnt = dict(attempts.died_together), dict(attempts.died_alone)
    for step, name in steps:
        if step == "end":
            attempts.end(name)
        else:
            attempts.begin(name, alone=step == "alone")
    attempts.close()
    return learnt


def test_deaths_are_counted_over_any_number_of_runs(tmp_path):
    assert run(tmp_path, ("begin", "a"), ("begin", "b"), ("end", "a"), ("begin", "c")) == ({}, {})
    assert run(tmp_path, ("alone", "b"), died=True) == ({"b": 1, "c": 1}, {})
    assert run(tmp_path, ("alone", "c"), ("end", "c"), ("begin", "c"), died=True) == (
        {"b": 1, "c": 1},
        {"b": 1},
    )
    expected = ({"b": 1, "c": 2}, {"b": 1})
    assert run(tmp_path, ("begin", "d"), died=True) == expected
    assert run(tmp_path) == expected  # the run before came to an orderly end
    assert run(tmp_path, died=True) == expected  # and this one had nothing in hand


@pytest.mark.parametrize("torn", [b"{", b'{"begin": "b", "alo', b'{"end": "a"}'])
def test_a_torn_last_line_says_nothing(tmp_path, torn):
    run(tmp_path, ("begin", "a"))
    with open(tmp_path / ATTEMPTS, "ab") as log:
        log.write(torn)
    assert run(tmp_path, ("begin", "c"), died=True) == ({"a": 1}, {})
    assert run(tmp_path, died=True) == ({"a": 1, "c": 1}, {})


@pytest.mark.parametrize("line", [b"\n", b"\xff\n", b"[]\n", b"{}\n", b'{"begin": []}\n', b"7\n"])
def test_a_line_that_cannot_be_read_is_passed_over(tmp_path, line):
    run(tmp_path, ("begin", "a"))
    with open(tmp_path / ATTEMPTS, "ab") as log:
        log.write(line)
    assert run(tmp_path, died=True) == ({"a": 1}, {})


def test_after_its_end_nothing_is_begun(tmp_path):
    """A decoding thread may come late; the number of the closed file may be another's by then."""
    attempts = Attempts(tmp_path, died=False)
    attempts.close()
    attempts.close()
    before = (tmp_path / ATTEMPTS).read_bytes()
    with pytest.raises(ValueError, match="ended"):
        attempts.begin("a")
    assert (tmp_path / ATTEMPTS).read_bytes() == before and attempts.failure is None
