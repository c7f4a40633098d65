"""Which file is in which split, and what stands for a class."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.distill.corpus import Member
from pipelines.distill.material import (
    ANIMAL,
    INSTRUMENT,
    OTHER,
    SPLITS,
    Material,
    family_of_file,
    split_files,
    usable,
)

numbers = st.lists(st.integers(0, 10_000), unique=True, max_size=60)


def files_of(label: str, numbers: list[int]) -> list[Member]:
    return [
        Member(f"audio/field/{label}-{number}.ogg", "field", label, "", "train")
        for number in numbers
    ]


@given(numbers, numbers)
def test_every_file_is_in_one_split_despite_other_labels(some, more):
    alone = split_files(files_of("dog", some))
    together = split_files([*files_of("cat", more), *files_of("dog", some)])
    for split in SPLITS:
        assert set(alone[split]) == {each for each in together[split] if each.label == "dog"}
    assert sorted(file.file for part in alone.values() for file in part) == sorted(
        file.file for file in files_of("dog", some)
    )


def test_labels_are_split_one_by_one_in_the_stated_shares():
    split = split_files([*files_of("dog", list(range(40))), *files_of("rare", [1, 2])])
    assert {name: len(part) for name, part in split.items()} == {
        "train": 24 + 2,
        "validation": 6,
        "test": 10,
    }


def test_what_is_kept_for_measuring_is_not_trained_on(corpora):
    train, kept = usable(corpora), usable(corpora, measuring=True)
    assert all("/train-" in file.file for file in train) and len(train) == 7 * 12
    assert all("/eval-" in file.file for file in kept) and len(kept) == 7 * 3


def test_a_class_that_is_not_offered_is_other(corpora):
    material = Material(corpora, usable(corpora), ["Bark"])
    rng = np.random.default_rng(0)
    heard = {material.draw_sound(rng, OTHER).label for _ in range(60)}
    assert heard == {"meow", "siren", "air_conditioner"}
    assert {material.draw_sound(rng, "Bark").label for _ in range(20)} == {"dog_bark"}
    assert {file.label for file in material.draw_pictures(rng, "Bark", 20)} == {"dog"}


@pytest.mark.parametrize(
    ("source", "label", "ave_class", "family"),
    [
        ("seth_instruments", "Cello", "", INSTRUMENT),
        ("instruments30", "harp", "", INSTRUMENT),
        ("caltech101", "mandolin", "Mandolin", INSTRUMENT),
        ("animal_sound", "lion", "", ANIMAL),
        ("tiny_imagenet", "n02129165 lion", "", ANIMAL),
        ("tiny_imagenet", "n02123045 tabby", "Cat", ANIMAL),
        ("tiny_imagenet", "n02788148 bannister", "", None),
        ("urbansound8k", "siren", "", None),
    ],
)
def test_what_is_easily_taken_for_another_is_of_one_family(source, label, ave_class, family):
    assert family_of_file(Member("file", source, label, ave_class, "train")) == family


def test_a_family_holds_nothing_that_is_offered(corpora):
    material = Material(corpora, usable(corpora), ["Bark"])
    rng = np.random.default_rng(0)
    assert {material.draw_sound(rng, ANIMAL).label for _ in range(20)} == {"meow"}
    # Without one of its own, a family is whatever is of no offered class.
    assert "siren" in {material.draw_sound(rng, INSTRUMENT).label for _ in range(20)}


def test_pictures_and_sounds_are_read_in_place(corpora):
    material = Material(corpora, usable(corpora), ["Bark", "Cat"])
    rng = np.random.default_rng(0)
    picture = material.picture(material.draw_pictures(rng, "Bark", 1)[0])
    assert picture.shape == (64, 64, 3) and picture[..., 0].mean() > 150 > picture[..., 2].mean()
    sound = material.sound(material.draw_sound(rng, "Bark"))
    assert sound.dtype == np.float32 and sound.shape == (48_000,)
    assert np.fft.rfft(sound).argmax() == pytest.approx(2000 * 3, rel=0.01)


def test_a_class_without_sounds_is_said(corpora):
    with pytest.raises(ValueError, match="Flute has no picture, Flute has no sound"):
        Material(corpora, usable(corpora), ["Bark", "Flute"])
