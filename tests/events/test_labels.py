"""The class vocabulary."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from avel_tf.events.labels import AVE_CLASSES, BACKGROUND, Labels

NAMES = st.lists(
    st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp")), min_size=1, max_size=20)
    .map(str.strip)
    .filter(lambda name: name and name.casefold() != BACKGROUND),
    min_size=1,
    max_size=8,
    unique=True,
)


def test_ave_classes_are_those_of_the_data_set(shared) -> None:
    lines = (shared / "ave" / "Annotations.txt").read_text("utf-8").splitlines()
    assert tuple(dict.fromkeys(line.split("&")[0] for line in lines)) == AVE_CLASSES
    assert len(AVE_CLASSES) == 28


def test_background_is_last() -> None:
    labels = Labels(AVE_CLASSES)
    assert len(labels) == labels.background == labels.index(BACKGROUND) == 28
    assert labels.name(28) == BACKGROUND
    assert labels.index("Mandolin") == 27
    assert labels.name(np.int64(0)) == "Church bell"
    assert list(labels) == list(AVE_CLASSES)
    assert BACKGROUND in labels and "dog" not in labels


def test_equality_hash_and_repr() -> None:
    assert Labels(["a", "b"]) == Labels(("a", "b"))
    assert hash(Labels(["a", "b"])) == hash(Labels(("a", "b")))
    assert Labels(["a", "b"]) != Labels(["b", "a"])
    assert Labels(["a"]) != ["a"]
    assert eval(repr(Labels(["a", "it's"]))) == Labels(["a", "it's"])
    with pytest.raises(AttributeError):
        Labels(["a"]).names = ("b",)  # type: ignore[misc]


@given(NAMES)
def test_save_and_load_are_inverse(tmp_path_factory, names: list[str]) -> None:
    path = tmp_path_factory.mktemp("labels") / "labels.txt"
    Labels(names).save(path)
    assert Labels.load(path) == Labels(names)
    lines = path.read_bytes().decode("utf-8").split("\n")
    assert lines == [*names, BACKGROUND, ""]


def test_load_takes_windows_line_ends_and_a_byte_order_mark(tmp_path) -> None:
    path = tmp_path / "labels.txt"
    path.write_bytes("\ufeffdog\r\ncafé\r\nbackground\r\n".encode())
    assert Labels.load(path).names == ("dog", "café")


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (["dog", "cat", "dog"], "'dog' is listed twice, as number 0 and as number 2"),
        ([""], "must not be empty"),
        (["  "], "must not be empty"),
        ([" dog"], "begins or ends with a space"),
        (["Background"], "'Background' cannot be an event class"),
        (["a\nb"], "line break"),
        (["a\u2028b"], "line break"),
        (["a\ud800b"], "not allowed in a text file"),
        ([], "at least one event class"),
        ("dog", "expects a list of class names; received the text 'dog'"),
        ([3], "must be text; received 3"),
    ],
)
def test_names_that_cannot_be_classes(names, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        Labels(names)


def test_unknown_names_and_numbers() -> None:
    labels = Labels(AVE_CLASSES)
    with pytest.raises(ValueError, match="'bark' is not one of the 28 .* Did you mean 'Bark'"):
        labels.index("bark")
    for number in (-1, 29):
        with pytest.raises(IndexError, match=f"label index {number} is outside 0 to 28"):
            labels.name(number)
    with pytest.raises(TypeError):
        labels.name(1.0)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("", "the file is empty"),
        ("dog\ncat\n", "last line must be 'background'; its last line is 'cat'"),
        ("dog\n\nbackground\n", "must not be empty"),
        ("background\n", "at least one"),
    ],
)
def test_load_refuses_other_files(tmp_path, content: str, sentence: str) -> None:
    path = tmp_path / "labels.txt"
    path.write_text(content)
    with pytest.raises(ValueError, match=sentence) as caught:
        Labels.load(path)
    assert str(path) in str(caught.value)
