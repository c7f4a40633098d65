"""Which files are videos, and which file a written name means."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avel_tf.video.video_files import AmbiguousNameError, VideoFolder, similar_name

STEMS = st.text(st.sampled_from("abAB-_. éüÅ\u0301\u0327가0"), min_size=1, max_size=6).filter(
    lambda stem: stem.strip(". ") == stem and not stem.startswith("._")
)


def folder_of(path: Path, *names: str) -> VideoFolder:
    for name in names:
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(b"x")
    return VideoFolder(path)


@pytest.mark.parametrize(
    ("there", "written"),
    [
        ("a.mp4", "a.mp4"),
        ("a.mp4", "./x/../a.mp4"),
        ("a.MP4", "a.mp4"),
        ("a.mp4", "a.MP4"),
        ("a.mkv", "a"),
        ("-PE8geTWt-g.webm", "-PE8geTWt-g"),
        ("v1.2.mp4", "v1.2"),
        ("clips/a.mp4", "clips\\a.mp4"),
        ("clips/a.mp4", "clips\\a"),
        ("clips/a.mp4", "C:\\Users\\me\\clips\\a.mp4"),
        ("clips/a.mp4", "D:/work/clips/a.mp4"),
        ("a.mp4", "\\\\server\\share\\a.MP4"),
        (unicodedata.normalize("NFD", "été/ü.mp4"), unicodedata.normalize("NFC", "été/ü.mp4")),
        (unicodedata.normalize("NFC", "été/ü.mp4"), unicodedata.normalize("NFD", "été/ü.MP4")),
        ("odd\\name.mp4", "odd\\name.mp4"),
    ],
)
def test_a_name_that_can_only_mean_one_file(there: str, written: str, tmp_path: Path) -> None:
    assert folder_of(tmp_path, there, "other.mp4").find(written) == tmp_path / there


@pytest.mark.parametrize(
    ("there", "written"),
    [
        ("aB3.mp4", "Ab3.mp4"),  # two videos of YouTube can differ in capitals alone
        ("a.mkv", "a.mp4"),
        ("a.txt", "a"),
        ("._a.mp4", "a.MP4"),
        ("clips/a.mp4", "a.mp4"),
        ("clips.mp4", "clips/a.mp4"),
        ("clips/a.mp4", "/elsewhere/clips/a.mp4"),
    ],
)
def test_a_name_that_means_no_file(there: str, written: str, tmp_path: Path) -> None:
    assert folder_of(tmp_path, there).find(written) is None


def test_the_exact_name_comes_first(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "a.mp4", "a.MP4", "a", "a.mkv")
    for name in ("a.mp4", "a.MP4", "a", "a.mkv"):
        assert folder.find(name) == tmp_path / name


@pytest.mark.parametrize(
    ("there", "written"),
    [(("a.mp4", "a.mkv"), "a"), (("a.MP4", "a.Mp4"), "a.mp4"), (("é.mp4", "e\u0301.mp4"), "é")],
)
def test_a_name_of_two_readings_is_refused(
    there: tuple[str, str], written: str, tmp_path: Path
) -> None:
    with pytest.raises(AmbiguousNameError) as caught:
        folder_of(tmp_path, *there).find(written)
    assert all(repr(name) in str(caught.value) for name in there)


def test_two_paths_of_windows_are_not_one_file(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "a.mp4")
    assert folder.find("C:\\one\\a.mp4") == folder.find("c:\\ONE\\a.mp4") == tmp_path / "a.mp4"
    with pytest.raises(AmbiguousNameError, match="'a.mp4'"):
        folder.find("C:\\two\\a.mp4")


@given(
    stems=st.lists(STEMS, min_size=1, max_size=4, unique=True),
    form=st.sampled_from(["NFC", "NFD"]),
    respell=st.sampled_from(
        [str, lambda name: name[:-4], lambda name: name[:-4] + ".MP4", lambda name: "./" + name]
    ),
)
def test_another_spelling_never_means_another_file(
    tmp_path_factory: pytest.TempPathFactory, stems: list[str], form: str, respell
) -> None:
    path = tmp_path_factory.mktemp("spelt")
    names = [stem + ".mp4" for stem in stems]
    folder = folder_of(path, *names)
    for name in names:
        try:
            found = folder.find(respell(unicodedata.normalize(form, name)))
        except AmbiguousNameError:
            continue  # two names of the folder differ in their encoding alone
        assert found is not None
        assert unicodedata.normalize("NFC", found.name) == unicodedata.normalize("NFC", name)


@pytest.mark.parametrize(
    ("there", "missing"),
    [("Dog.mp4", "dog.mp4"), ("dog.mkv", "dog.mp4"), ("dog.mp4", "dgo.mp4")],
)
def test_the_nearest_name_of_a_missing_file(there: str, missing: str, tmp_path: Path) -> None:
    folder_of(tmp_path, there, "a quite different one.mp4")
    assert similar_name(tmp_path / missing) == there


def test_no_name_is_near_in_a_missing_folder(tmp_path: Path) -> None:
    assert similar_name(tmp_path / "none" / "dog.mp4") is None
    assert similar_name("") is None
