from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from avel_tf.events.event import Event
from avel_tf.events.formats import FORMATS, check_formats, write_formats
from avel_tf.events.result import Result, Segment, read_results
from avel_tf.utils.durable_files import atomic_text
from tests.events.formats.samples import hostile_results


def contents(folder: Path) -> dict[str, bytes]:
    return {
        os.fspath(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_one_pass_over_a_generator_writes_every_format(tmp_path: Path) -> None:
    written = write_formats(FORMATS, (result for result in hostile_results()), tmp_path / "new")
    assert list(written) == list(FORMATS)
    assert written["jsonl"] == tmp_path / "new" / "results.jsonl"
    assert written["csv"] == tmp_path / "new" / "results.csv"
    assert written["vtt"] == tmp_path / "new" / "vtt"
    # A line per input, in the order of the inputs.
    assert [result.video for result in read_results(written["jsonl"])] == [
        result.video for result in hostile_results()
    ]


def test_same_results_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "other"):
        write_formats(FORMATS, hostile_results(), tmp_path / name)
    assert contents(tmp_path / "one") == contents(tmp_path / "other")


def test_the_other_formats_do_not_need_the_lines(tmp_path: Path) -> None:
    write_formats(["csv"], iter(hostile_results()), tmp_path / "alone")
    write_formats(["csv", "jsonl"], iter(hostile_results()), tmp_path / "both")
    alone, both = contents(tmp_path / "alone"), contents(tmp_path / "both")
    assert list(alone) == ["results.csv"]
    assert alone["results.csv"] == both["results.csv"]


def test_formats_can_be_made_again_from_the_lines(tmp_path: Path) -> None:
    write_formats(FORMATS, hostile_results(), tmp_path)
    before = contents(tmp_path)
    write_formats(FORMATS, read_results(tmp_path / "results.jsonl"), tmp_path)
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    ("name", "hint"), [("json", "'jsonl'"), ("CSV", "'csv'"), ("webvtt", "'vtt'")]
)
def test_unknown_format_is_refused_before_anything_is_written(
    tmp_path: Path, name: str, hint: str
) -> None:
    with pytest.raises(ValueError, match=rf"Received: '{name}'; .* Did you mean {hint}\?"):
        write_formats(["jsonl", name], hostile_results(), tmp_path)
    assert contents(tmp_path) == {}


def test_a_format_named_twice_is_written_once() -> None:
    assert check_formats(["csv", "jsonl", "csv"]) == ("csv", "jsonl")
    assert check_formats(["html"], also=["html"]) == ("html",)
    with pytest.raises(ValueError, match="expected one of jsonl, csv, .*, html.*html"):
        check_formats(["htm"], also=["html"])


def test_a_writer_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    def failing() -> Iterator[Result]:
        yield Result("new.mp4", "ok")
        raise RuntimeError("the disk is full")

    write_formats(["jsonl"], [Result("old.mp4", "ok")], tmp_path)
    before = contents(tmp_path)
    with pytest.raises(RuntimeError, match="the disk is full"):
        write_formats(["jsonl"], failing(), tmp_path)
    assert contents(tmp_path) == before


def test_nothing_stands_under_the_name_before_all_is_written(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "file.txt"
    with atomic_text(path) as file:
        file.write("half")
        file.flush()
        assert not path.exists()
    assert path.read_text() == "half"
    previous = os.umask(0o027)
    try:
        with atomic_text(path) as file:
            file.write("whole")
    finally:
        os.umask(previous)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


SRT = """1
00:00:00,000 --> 00:00:02,500
a --› ‹b› & c (0.93)

2
01:00:00,000 --> 01:01:01,250
two lines (1.00)

"""


def test_subtitles_are_numbered_and_hold_no_tag(tmp_path: Path) -> None:
    events = (Event("a --> <b> & c", 0, 2.5, 0.931), Event("two\n\nlines", 3600, 3661.25, 1))
    result = Result("dog.mp4", "ok", None, 4000.0, (), events)
    assert result.save(tmp_path / "dog.srt").read_text("utf-8") == SRT
    written = write_formats(["srt"], [result, Result("cat.mp4", "ok")], tmp_path)["srt"]
    assert (written / "dog.mp4.srt").read_text("utf-8") == SRT
    assert (written / "cat.mp4.srt").read_bytes() == b""


@pytest.mark.parametrize("name", FORMATS)
def test_one_result_is_saved_by_the_suffix(tmp_path: Path, name: str) -> None:
    seconds = (Segment(0, 1, "Bark", 0.9), Segment(1, 2, "Bark", 0.9))
    result = Result("dog.mp4", "ok", None, 4.0, seconds, (Event("Bark", 0, 2, 0.9),))
    path = result.save(tmp_path / f"new/dog.{name}")
    assert path == tmp_path / f"new/dog.{name}" and b"Bark" in path.read_bytes()
    assert result.save(tmp_path / "dog.txt", name).read_bytes() == path.read_bytes()


@pytest.mark.parametrize("name", ["dog", "dog.mp4", "dog.vtx"])
def test_a_suffix_of_no_format_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match=r"xpected one of \.?jsonl, \.?csv, "):
        Result("dog.mp4", "ok").save(tmp_path / name)
    assert contents(tmp_path) == {}
