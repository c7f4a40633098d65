"""Seeded splits: disjoint, covering, stable, and fair to each class."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from avel_tf.datasets import SPLITS, DatasetSettings, Video, assign_splits, remove_leaks

FILES = st.dictionaries(
    st.text(min_size=1, max_size=6), st.sets(st.sampled_from("abcde"), max_size=3), max_size=60
)
SETTINGS = st.builds(
    DatasetSettings,
    split_seed=st.integers(0, 5),
    validation_fraction=st.floats(0, 0.4),
    test_fraction=st.floats(0, 0.4),
)


@given(FILES, SETTINGS, st.randoms())
def test_every_file_has_one_split_whatever_the_order(files, settings, random) -> None:
    splits = assign_splits(files, settings)
    assert splits.keys() == files.keys()
    assert set(splits.values()) <= set(SPLITS)
    names = list(files)
    random.shuffle(names)
    assert assign_splits({name: files[name] for name in names}, settings) == splits


@given(st.integers(3, 80), st.integers(1, 8), SETTINGS)
def test_each_class_is_shared_out_by_its_size(count: int, classes: int, settings) -> None:
    files = {f"{n}": [f"class {n % classes}"] for n in range(count)}
    splits = assign_splits(files, settings)
    sizes = Counter(splits.values())
    for split, fraction in (
        ("test", settings.test_fraction),
        ("validation", settings.validation_fraction),
    ):
        if fraction == 0:
            assert sizes[split] == 0
            continue
        # Train's claim to one of each class, and no empty split, move this by a few at most.
        assert 1 <= sizes[split] <= max(1, round(count * fraction))
        for number in range(classes):
            members = [name for name in files if int(name) % classes == number]
            taken = sum(splits[name] == split for name in members)
            assert taken <= len(members) * fraction + 1
    assert sizes["train"] >= 1


def test_totals_are_met_and_scarce_classes_are_served_first() -> None:
    files = {f"{n}": ["common"] for n in range(80)} | {f"r{n}": ["rare"] for n in range(4)}
    splits = assign_splits(files, DatasetSettings())
    assert Counter(splits.values()) == {"train": 58, "validation": 13, "test": 13}
    assert {splits[f"r{n}"] for n in range(4)} == set(SPLITS)


def test_train_keeps_the_only_example_of_a_class() -> None:
    files = {f"{n}": ["common"] for n in range(20)} | {f"only{n}": [f"{n}"] for n in range(10)}
    splits = assign_splits(files, DatasetSettings())
    assert {splits[f"only{n}"] for n in range(10)} == {"train"}


def test_train_keeps_a_file_when_the_others_ask_for_nearly_all() -> None:
    settings = DatasetSettings(validation_fraction=0.49, test_fraction=0.5)
    splits = assign_splits({f"{n}": ["dog"] for n in range(3)}, settings)
    assert Counter(splits.values()) == {"train": 1, "test": 2}


def test_no_split_stays_empty_even_if_every_class_has_one_file() -> None:
    splits = assign_splits({f"{n}": [f"{n}"] for n in range(5)}, DatasetSettings())
    assert Counter(splits.values()) == {"train": 3, "validation": 1, "test": 1}


def test_seeds_differ() -> None:
    files = {f"{n}": ["dog"] for n in range(40)}
    drawn = [assign_splits(files, DatasetSettings(split_seed=seed)) for seed in range(2)]
    assert drawn[0] != drawn[1]


def test_a_new_file_moves_few_others() -> None:
    files = {f"{n}": ["dog"] for n in range(200)}
    before = assign_splits(files, DatasetSettings())
    after = assign_splits({**files, "new": ["dog"]}, DatasetSettings())
    assert sum(before[name] != after[name] for name in files) <= 4


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from(SPLITS)), max_size=20))
def test_leaks_are_removed_and_the_stronger_split_stays_whole(pairs) -> None:
    videos = [
        Video(str(n), Path(media), (), split, media) for n, (media, split) in enumerate(pairs)
    ]
    kept = remove_leaks(videos)
    held = {split: {v.media_id for v in kept if v.split == split} for split in SPLITS}
    assert not held["train"] & held["test"]
    assert not held["train"] & held["validation"]
    assert not held["validation"] & held["test"]
    assert [v for v in kept if v.split == "test"] == [v for v in videos if v.split == "test"]
    assert {v.media_id for v in kept} == {v.media_id for v in videos}
    in_test = held["test"]
    assert [v for v in kept if v.split == "validation"] == [
        v for v in videos if v.split == "validation" and v.media_id not in in_test
    ]
