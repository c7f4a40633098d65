"""Files that grow, are renamed, broken or removed while a folder is watched."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from avel_tf.inference.folder_watch import FolderWatch, is_partial_name
from avel_tf.inference.settings import WatchSettings
from avel_tf.video.decode import DecodeSettings
from tests.video.films import write_film

SETTINGS = WatchSettings(settle_seconds=5, patience_seconds=60)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """An mp4 whose index is at its end, as most programs write it."""
    return write_film(tmp_path_factory.mktemp("film") / "a.mp4", seconds=2, rate=4).read_bytes()


class Watched:
    """A watched folder, and a clock that stands still unless told otherwise."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "inbox"
        self.folder.mkdir()
        self.now = 0.0
        self.labelled: set[tuple[str, int]] = set()
        self.watch = FolderWatch(
            [str(self.folder)], SETTINGS, DecodeSettings(), self.is_done, clock=lambda: self.now
        )

    def is_done(self, path: str) -> bool:
        return (path, os.stat(path).st_mtime_ns) in self.labelled

    def ready_after(self, seconds: float) -> list[str]:
        self.now += seconds
        return [os.path.relpath(path, self.folder) for path in self.watch.ready()]

    def label(self) -> None:
        for path in self.watch.ready():
            self.labelled.add((path, os.stat(path).st_mtime_ns))


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    return Watched(tmp_path)


def test_a_file_is_ready_once_it_has_stopped_growing(watched, film):
    path = watched.folder / "a.mp4"
    path.write_bytes(film[:1000])
    assert watched.ready_after(0) == [] and watched.ready_after(4) == []
    path.write_bytes(film)
    assert watched.ready_after(4) == [] and watched.ready_after(4) == []
    assert watched.ready_after(1) == ["a.mp4"] and watched.ready_after(1) == ["a.mp4"]
    watched.label()
    assert watched.ready_after(100) == []


def test_a_copy_that_pauses_is_not_taken_before_it_can_be_opened(watched, film):
    path = watched.folder / "a.mp4"
    path.write_bytes(film[:500])
    watched.ready_after(0)
    assert watched.ready_after(30) == []
    with path.open("ab") as file:
        file.write(film[500:])
    assert watched.ready_after(30) == [] and watched.ready_after(5) == ["a.mp4"]


def test_a_broken_file_is_taken_when_patience_ends(watched):
    (watched.folder / "a.mp4").write_bytes(b"garbage" * 100)
    watched.ready_after(0)
    assert watched.ready_after(59) == [] and watched.ready_after(1) == ["a.mp4"]


def test_a_broken_file_of_yesterday_is_taken_at_once(watched):
    path = watched.folder / "a.mp4"
    path.write_bytes(b"garbage" * 100)
    os.utime(path, (1e9, 1e9))
    assert watched.ready_after(0) == [] and watched.ready_after(5) == ["a.mp4"]


def test_unfinished_downloads_and_empty_files_wait(watched, film):
    names = ["a.mp4.part", "b.mp4.crdownload", "c.mp4.tmp", "d.temp.mp4", "e.PART.mp4", "._f.mp4"]
    for name in names:
        (watched.folder / name).write_bytes(film)
    (watched.folder / "a.mp4").touch()  # Firefox reserves the name
    watched.ready_after(0)
    assert watched.ready_after(1000) == []
    os.replace(watched.folder / "a.mp4.part", watched.folder / "a.mp4")
    os.replace(watched.folder / "d.temp.mp4", watched.folder / "d.mp4")
    watched.ready_after(0)
    assert watched.ready_after(5) == ["a.mp4", "d.mp4"]
    assert not is_partial_name("/a/part.mp4") and not is_partial_name("a.b.mp4")


def test_removed_and_renamed_files_are_forgotten(watched, film):
    for name in ("a.mp4", "b.mp4"):
        (watched.folder / name).write_bytes(film)
    watched.ready_after(0)
    (watched.folder / "a.mp4").unlink()
    (watched.folder / "b.mp4").rename(watched.folder / "c.mp4")
    assert watched.ready_after(5) == [] and watched.ready_after(5) == ["c.mp4"]


def test_a_changed_file_is_ready_again(watched, film):
    path = watched.folder / "a.mp4"
    path.write_bytes(film)
    watched.ready_after(0)
    watched.now += 5
    watched.label()
    assert watched.ready_after(1) == []
    path.write_bytes(film + b"more")
    os.utime(path, (2e9, 2e9))
    assert watched.ready_after(1) == [] and watched.ready_after(5) == ["a.mp4"]


def test_subfolders_and_foreign_things(watched, film):
    (watched.folder / "deep" / "er").mkdir(parents=True)
    (watched.folder / "deep" / "er" / "b.MP4").write_bytes(film)
    (watched.folder / "folder.mp4").mkdir()
    (watched.folder / "notes.txt").write_text("no video")
    os.mkfifo(watched.folder / "pipe.mp4")
    watched.ready_after(0)
    assert watched.ready_after(1000) == ["deep/er/b.MP4"]


def test_a_share_that_goes_and_comes_back_costs_nothing(watched, film):
    (watched.folder / "a.mp4").write_bytes(film)
    watched.ready_after(0)
    watched.now += 5
    watched.label()
    watched.folder.rename(watched.folder.with_name("away"))
    assert watched.ready_after(100) == []
    watched.folder.with_name("away").rename(watched.folder)
    assert watched.ready_after(100) == [] and watched.ready_after(100) == []
