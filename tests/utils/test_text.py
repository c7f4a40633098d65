"""Names that are safe to print, and suggestions for misspelt ones."""

from __future__ import annotations

import os

import pytest

from avel_tf.utils.text import did_you_mean, printable, valid_unicode


def test_the_nearest_name_is_suggested() -> None:
    splits = ("train", "validation", "test")
    assert did_you_mean("val", splits) == " Did you mean 'validation'?"
    assert did_you_mean("Trian", splits) == " Did you mean 'train'?"
    assert did_you_mean("xyz", splits) == did_you_mean("", splits) == ""


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("dög.mp4", "dög.mp4"),
        (os.fsdecode(b"dog\xff.mp4"), "dog\\xff.mp4"),
        (b"dog\xff.mp4", "dog\\xff.mp4"),
        ("\ud800", "\\ud800"),
    ],
)
def test_invalid_bytes_of_a_name_are_escaped(name: str | bytes, expected: str) -> None:
    assert valid_unicode(name) == printable(name) == expected
    valid_unicode(name).encode("utf-8")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("two\nlines", "two\\nlines"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("gpj.\u202eexe", "gpj.\\u202eexe"),
        ("family \U0001f468\u200d\U0001f469", "family \U0001f468\u200d\U0001f469"),
    ],
)
def test_control_characters_are_escaped(name: str, expected: str) -> None:
    assert printable(name) == expected
