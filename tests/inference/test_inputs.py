"""Which files a run is about."""

from __future__ import annotations

import os

from avel_tf.inference.inputs import find_inputs


def make(folder, *names: bytes | str) -> None:
    for name in names:
        path = os.path.join(os.fsencode(folder), os.fsencode(name))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        open(path, "wb").close()


def below(folder, paths: list[str]) -> list[bytes]:
    return [os.path.relpath(os.fsencode(path), os.fsencode(folder)) for path in paths]


def test_videos_of_a_tree_in_the_order_of_their_bytes(tmp_path):
    names = [b"b.mp4", b"a/z.mkv", b"a/b/c.MOV", b"\xff.webm", "ä.avi".encode(), b"A.mp4"]
    make(tmp_path, *names, b"notes.txt", b"a/mp4", b"cover.jpg", b".mp4")
    (tmp_path / "empty").mkdir()
    assert below(tmp_path, find_inputs([str(tmp_path)])) == sorted(names)


def test_a_file_that_is_named_needs_no_ending(tmp_path):
    make(tmp_path, b"film", b"notes.txt")
    named = [str(tmp_path / "notes.txt"), str(tmp_path / "film"), str(tmp_path / "absent.mp4")]
    assert find_inputs(named) == named


def test_each_file_once(tmp_path):
    make(tmp_path, b"a.mp4", b"b.mp4")
    found = find_inputs([str(tmp_path / "b.mp4"), str(tmp_path), str(tmp_path / "b.mp4")])
    assert found == [str(tmp_path / "b.mp4"), str(tmp_path / "a.mp4")]


def test_a_file_with_two_spellings_is_listed_once(tmp_path, monkeypatch):
    make(tmp_path, b"a.mp4", b"b.mp4")
    monkeypatch.chdir(tmp_path)
    assert find_inputs(["b.mp4", ".", "./a.mp4", str(tmp_path)]) == ["b.mp4", "./a.mp4"]


def test_links_to_files_are_listed_and_those_to_folders_ignored(tmp_path):
    make(tmp_path / "outside", b"secret.mp4")
    make(tmp_path / "inside", b"a.mp4")
    (tmp_path / "inside" / "door").symlink_to(tmp_path / "outside")
    (tmp_path / "inside" / "round").symlink_to(tmp_path / "inside")
    (tmp_path / "inside" / "link.mp4").symlink_to(tmp_path / "outside" / "secret.mp4")
    found = find_inputs([str(tmp_path / "inside")])
    assert below(tmp_path / "inside", found) == [b"a.mp4", b"link.mp4"]


def test_what_a_mac_notes_is_left_out_and_counted(tmp_path):
    make(tmp_path, b"a.mp4", b"._a.mp4", b"b/._c.mov", b"b/.d.mp4")
    skipped: list[str] = []
    found = find_inputs([str(tmp_path), str(tmp_path / "b")], skipped=skipped)
    assert below(tmp_path, found) == [b"a.mp4", b"b/.d.mp4"]
    assert below(tmp_path, skipped) == [b"._a.mp4", b"b/._c.mov"]
    named = str(tmp_path / "._a.mp4")
    assert find_inputs([named]) == [named]


def test_an_empty_folder_gives_nothing(tmp_path):
    assert find_inputs([str(tmp_path)]) == []
