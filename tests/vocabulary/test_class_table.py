"""The table of things that can be labelled by name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avel_tf.cli.main import main
from avel_tf.embeddings.class_columns import ClassColumns
from avel_tf.events.labels import AVE_CLASSES, Labels
from avel_tf.pretrained import DEFAULT_CLASSES
from avel_tf.vocabulary.class_names import resolve_classes
from avel_tf.vocabulary.class_table import KINDS, ClassTable, audioset, imagenet

TABLE = ClassTable.load()
VOCABULARIES = {
    "imagenet-1000": 1000,
    "imagenet-1001": 1001,
    "audioset-527": 527,
    "yamnet-521": 521,
}


def test_the_vocabularies_are_complete():
    assert sorted(imagenet().values()) == list(range(1000))
    assert sorted(index for index, _ in audioset().values()) == list(range(527))
    of_yamnet = sorted(index for _, index in audioset().values() if index is not None)
    assert of_yamnet == list(range(521))
    # Checked against the published lists.
    assert imagenet()["tench"] == 0 and imagenet()["toilet tissue"] == 999
    assert imagenet()["acoustic guitar"] == 402 and imagenet()["crane (machine)"] == 517
    assert audioset()["Speech"] == (0, 0) and audioset()["Field recording"] == (526, 520)
    assert audioset()["Bark"] == (75, 70)


def test_ave_and_a_hundred_others_are_in_the_table():
    assert len(TABLE) >= 100
    assert set(AVE_CLASSES) <= set(TABLE.names) and set(DEFAULT_CLASSES) <= set(TABLE.names)
    assert Labels(TABLE.names)  # every name can be a label


def test_every_class_is_seen_and_heard():
    for each in TABLE:
        assert each.kind in KINDS
        for vocabulary, size in VOCABULARIES.items():
            indices = TABLE.indices(each, vocabulary)
            assert indices and all(0 <= index < size for index in indices), each.name


def test_the_vocabularies_agree_on_a_class():
    bark = TABLE.find("Bark")
    assert len(TABLE.indices(bark, "imagenet-1000")) == 118  # ILSVRC's breeds of dogs
    first = TABLE.indices(bark, "imagenet-1000")
    assert TABLE.indices(bark, "imagenet-1001") == tuple(index + 1 for index in first)
    with pytest.raises(ValueError, match=r"'imagenet-21k'.*imagenet-1000"):
        TABLE.indices(bark, "imagenet-21k")


@pytest.mark.parametrize(
    ("word", "name"),
    [
        ("Bark", "Bark"),
        ("bark", "Bark"),
        ("dogs", "Bark"),
        ("FROG", "Frog"),
        ("lion", "Roaring cats (lions, tigers)"),
        ("fiddle", "Violin, fiddle"),
        ("police car", "Police car (siren)"),
        ("violin, fiddle", "Violin, fiddle"),
    ],
)
def test_a_class_is_found_by_its_words(word, name):
    assert TABLE.find(word).name == name


def test_the_guide_has_the_default_classes():
    page = (Path(__file__).parents[2] / "docs" / "guide" / "classes.md").read_text("utf-8")
    rows = re.findall(r"^\| (.+?) \| (\w+) \| (default|by name: .+?) \|", page, re.M)
    assert {name for name, *_ in rows} == set(AVE_CLASSES)
    assert all(TABLE.find(name).kind == kind for name, kind, _ in rows)
    assert tuple(name for name, _, offered in rows if offered == "default") == DEFAULT_CLASSES
    assert f"{len(DEFAULT_CLASSES)} default classes" in page and f"{len(TABLE)} classes" in page


@pytest.mark.parametrize(
    ("general", "special"),
    [
        ("Bell", "Church bell"),
        ("Car", "Race car, auto racing"),
        ("Chicken, rooster", "Crowing, cock-a-doodle-doo"),
        ("Drum", "Bass drum"),
        ("Drum", "Snare drum"),
        ("Train", "Train horn"),
    ],
)
def test_a_general_class_does_not_compete_with_its_special_one(general, special):
    seen, heard = (
        [TABLE.indices(each, vocabulary) for each in TABLE]
        for vocabulary in ("imagenet-1000", "audioset-527")
    )
    related = ClassColumns(tuple(seen), tuple(heard)).related([TABLE.names.index(special)])
    assert related[TABLE.names.index(general)]


def test_an_unknown_word_gets_the_nearest_ones():
    with pytest.raises(ValueError, match=r"no class 'guitr'.*Acoustic guitar.*avel classes"):
        TABLE.find("guitr")
    with pytest.raises(ValueError, match=r"'guitar' may be any .* Acoustic guitar; Electric"):
        TABLE.find("guitar")


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.lists(st.sampled_from(TABLE.names), min_size=1, max_size=8, unique=True), st.data())
def test_names_joined_by_commas_are_read_back(names, data):
    spaces = data.draw(st.sampled_from([",", ", ", " , "]))
    found = resolve_classes(spaces.join(names), Labels(TABLE.names))
    # No two neighbours of the table are together the name of a third class.
    assert found == tuple(names)


def test_all_names_at_once_are_read_back():
    """A text that is longer than the name of a file may be."""
    text = ", ".join(reversed(TABLE.names))
    assert resolve_classes(text, Labels(TABLE.names)) == tuple(reversed(TABLE.names))


def test_a_list_may_be_a_file(tmp_path):
    path = tmp_path / "classes.txt"
    path.write_text("\ufeffCat\n\nViolin, fiddle\r\n  Bark \n", encoding="utf-8")
    found = resolve_classes(str(path), Labels(TABLE.names))
    assert found == ("Cat", "Violin, fiddle", "Bark")


def test_a_word_of_several_classes_selects_all_of_them():
    words = {each.name: each.words for each in TABLE}
    found = resolve_classes(["guitar", "dog"], Labels(TABLE.names), words)
    assert found == ("Acoustic guitar", "Electric guitar", "Bark")
    with pytest.raises(ValueError, match="Expected names of classes"):
        resolve_classes(" , ", Labels(TABLE.names))


def write(folder: Path, *lines: str) -> Path:
    path = folder / "mine.csv"
    path.write_text("\n".join(["name,kind,audioset,imagenet,words", *lines]), encoding="utf-8")
    return path


def test_a_table_of_ones_own_extends_it(tmp_path):
    path = write(
        tmp_path,
        "Wolf,direct,Howl; Canidae, dogs, wolves,timber wolf..red wolf,lupus",
        'Bark,near,Bark,beagle,"barking; yapping"',
    )
    with pytest.raises(
        ValueError, match=r"Line 2 of .*AudioSet class 'Canidae'"
    ):  # commas without quotes
        ClassTable.load(path)
    path = write(
        tmp_path,
        'Wolf,direct,"Howl; Canidae, dogs, wolves",timber wolf..red wolf,lupus',
        'Bark,near,Bark,beagle,"barking; yapping"',
    )
    table = ClassTable.load(path)
    assert len(table) == len(TABLE) + 1
    assert table.find("lupus").imagenet == ("timber wolf", "white wolf", "red wolf")
    assert table.find("Bark").imagenet == ("beagle",)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("Wolf,direct,Howll,timber wolf,", r"Line 2 .*AudioSet class 'Howll'. Did you mean 'Howl'"),
        ("Wolf,direct,Howl,timber wolff,", r"ImageNet class 'timber wolff'.*'timber wolf'"),
        ("Wolf,direct,Howl,,", "imagenet is empty"),
        ("Wolf,maybe,Howl,timber wolf,", r"kind must be one of direct, near, context.*'maybe'"),
        (",direct,Howl,timber wolf,", "has no name"),
    ],
)
def test_a_wrong_line_is_refused_with_its_number(tmp_path, line, message):
    with pytest.raises(ValueError, match=message):
        ClassTable.load(write(tmp_path, line))


def test_a_table_without_columns_is_refused(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text("name,sound\nWolf,Howl\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"lacks the columns kind, audioset, imagenet"):
        ClassTable.load(path)


def test_the_command_lists_and_searches(capsys):
    assert main(["classes"]) == 0
    listed = capsys.readouterr().out
    assert listed.count("\n  heard: ") == listed.count("\n  seen: ") == len(TABLE)
    assert main(["classes", "dog"]) == 0
    assert capsys.readouterr().out.startswith("Bark (direct, labelled by default)\n")
    assert main(["classes", "zzzzzz"]) == 1
    assert "No class is similar to 'zzzzzz'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("dog barking", ["Bark"]),
        ("Violin, fiddle", ["Violin, fiddle"]),
        ("playing double bass", ["Double bass"]),  # not the basses, nor a drum
        ("baby crying", ["Baby cry, infant cry"]),  # the baby that laughs has one phrase less
        ("violins and cellos", ["Violin, fiddle", "Cello"]),
        ("fireworks", []),
        ("", []),
    ],
)
def test_classes_are_found_in_names_of_other_data_sets(text: str, names: list[str]):
    assert [each.name for each in TABLE.named_in(text)] == names


def test_every_class_is_found_in_its_own_name():
    for each in TABLE:
        assert each in TABLE.named_in(each.name)
