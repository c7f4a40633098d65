"""avel infer on what a folder may hold."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import json
import os
import shutil
from collections import Counter
from pathlib import Path

import pytest

from avel_tf.cli.main import main
from avel_tf.events.result import read_results
from tests.video.films import tone, write_film

KEYS = {"schema", "video", "status", "reason", "duration", "seconds", "events", "model"}
SPAN = {"start", "end", "label", "score"}


@pytest.fixture(scope="module")
def tree(clips, tmp_path_factory) -> Path:
    """Good, odd, broken and foreign files, nested."""
    folder = tmp_path_factory.mktemp("infer") / "videos"
    good = sorted(clips.glob("videos/**/*.mp4"))
    for name in (b"a.mp4", b"deep/er/b.MP4", b'comma, "quote" \xff\n.mp4', "ä.mp4".encode()):
        path = os.path.join(os.fsencode(folder), name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        shutil.copyfile(good[0], path)
    write_film(folder / "long.mp4", seconds=25, rate=4, sound=tone(25, 48_000))
    (folder / "broken.mp4").write_bytes(b"\0" * 500)
    (folder / "playlist.mp4").write_text("#EXTM3U\n/etc/passwd\n")
    (folder / "notes.txt").write_text("no video")
    for name in ("._a.mp4", "deep/er/._b.MP4"):
        (folder / name).write_bytes(bytes.fromhex("0005160700020000") + b"Mac OS X        ")
    (folder / "link.mp4").symlink_to(good[1])
    (folder / "empty").mkdir()
    return folder


@pytest.fixture(scope="module")
def inferred(tree, exported, tmp_path_factory) -> tuple[int, Path]:
    """Exit code and folder of results."""
    out = tmp_path_factory.mktemp("infer") / "results"
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        code = main(["infer", str(tree), "--model", str(exported), "--out", str(out)])
    (out / "printed.txt").write_text(printed.getvalue())
    return code, out


def records(out: Path) -> dict[bytes, dict]:
    lines = (out / "results.jsonl").read_bytes().splitlines()
    found = [json.loads(line) for line in lines]
    assert len({record["video"] for record in found}) == len(found)
    return {os.path.basename(os.fsencode(record["video"])): record for record in found}


def test_each_video_has_one_line_and_failures_set_the_exit_code(inferred):
    code, out = inferred
    status = {name: record["status"] for name, record in records(out).items()}
    assert status == {
        b"a.mp4": "ok",
        b"b.MP4": "ok",
        b'comma, "quote" \xff\n.mp4': "ok",
        "ä.mp4".encode(): "ok",
        b"long.mp4": "ok",
        b"broken.mp4": "quarantined",
        b"playlist.mp4": "quarantined",
        b"link.mp4": "quarantined",
    }
    assert code == 2


def test_what_a_mac_notes_is_skipped_and_counted(inferred):
    assert "2 files named ._* skipped" in (inferred[1] / "printed.txt").read_text()


def test_a_name_that_begins_with_a_dash(tree, exported, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copyfile(tree / "a.mp4", "-PE8geTWt-g.mp4")
    names = sorted(os.listdir())  # as a shell's * hands them out
    assert main(["infer", *names, "--model", str(exported), "--out", "results"]) == 0
    (record,) = records(Path("results")).values()
    assert (record["video"], record["audio_track"]) == ("-PE8geTWt-g.mp4", [1])


def test_lines_keep_the_schema(inferred, store):
    known = {*store.labels.names, "background"}
    for record in records(inferred[1]).values():
        assert (
            set(record) - {"audio_track"} == KEYS
            and record["schema"] == 1
            and record["model"] == "tiny/1"
        )
        assert (record["status"] == "ok") == bool(record["seconds"])
        assert record["status"] == "ok" or record["reason"].startswith("Cannot read")
        for span in (*record["seconds"], *record["events"]):
            assert set(span) == SPAN and span["label"] in known
            assert 0 <= span["start"] < span["end"] <= record["duration"] + 1e-6
            assert 0 <= span["score"] <= 1
    long = records(inferred[1])[b"long.mp4"]
    assert [second["start"] for second in long["seconds"]] == list(range(25))


def test_the_same_film_gives_the_same_line_whatever_it_is_called(inferred):
    found = records(inferred[1])
    one, other = found[b"a.mp4"], found[b'comma, "quote" \xff\n.mp4']
    assert [s["label"] for s in one["seconds"]] == [s["label"] for s in other["seconds"]]
    for a, b in zip(one["seconds"], other["seconds"], strict=True):
        assert a["score"] == pytest.approx(b["score"], abs=1e-4)


def test_the_other_formats_tell_the_same(inferred):
    out = inferred[1]
    results = list(read_results(out / "results.jsonl"))
    with open(out / "results.csv", newline="", encoding="utf-8") as table:
        rows = list(csv.DictReader(table))
    told = {row["video"] for row in rows}
    assert sum(row["status"] == "quarantined" for row in rows) == 3
    assert len(told) == len(results)
    captions = list((out / "vtt").rglob("*.vtt"))
    assert all(path.read_text(encoding="utf-8").startswith("WEBVTT") for path in captions)
    assert len(captions) >= sum(result.status == "ok" for result in results)


def test_localize_says_what_infer_wrote(inferred, exported, tree):
    import avel_tf

    written = {r.video: r for r in read_results(inferred[1] / "results.jsonl")}
    path = str(tree / "deep" / "er" / "b.MP4")
    result = avel_tf.load(exported).localize(path)
    assert [s.label for s in result.seconds] == [s.label for s in written[path].seconds]
    assert [s.score for s in result.seconds] == pytest.approx(
        [s.score for s in written[path].seconds], abs=1e-4
    )


def infer(*paths: Path, model: Path, out: Path, more: tuple[str, ...] = ()) -> int:
    words = [str(path) for path in paths]
    return main(["infer", *words, "--model", str(model), "--out", str(out), *more])


def test_all_good_is_zero_and_the_folder_of_versions_will_do(tree, exported, tmp_path, capsys):
    code = infer(tree / "a.mp4", model=exported.parent, out=tmp_path, more=("--formats", "csv"))
    assert code == 0
    # The lines are the record that avel report reads, so they are written in any case.
    written = {"results.csv", "results.jsonl", "ledger.jsonl", "ledger.lock"}
    assert {path.name for path in tmp_path.iterdir()} == written
    assert "1 file: 1 ok, 0 partial, 0 quarantined" in capsys.readouterr().out


def test_what_was_found_is_said_and_there_is_a_page(tree, exported, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    paths = [str(tree / name) for name in ("a.mp4", "broken.mp4")]
    assert main(["infer", *paths, "--model", str(exported)]) == 2
    said = {line.partition(": ")[0]: line for line in capsys.readouterr().out.splitlines()}
    assert "quarantined: Cannot read" in said[paths[1]]
    (result, _) = read_results(tmp_path / "results" / "results.jsonl")
    for event in result.events:
        assert (
            f"{event.label} {event.start:g}–{event.end:g} s ({event.score:.2f})" in said[paths[0]]
        )
    assert result.events or "no known event detected" in said[paths[0]]
    assert said["Report"] == "Report: results/index.html"
    assert "a.mp4" in (tmp_path / "results" / "index.html").read_text(encoding="utf-8")


def test_what_is_named_and_does_not_exist_gets_its_line(tree, exported, tmp_path):
    out = tmp_path / "results"
    assert infer(tree / "a.mp4", tree / "absent.mp4", model=exported, out=out) == 2
    found = records(out)
    assert found[b"a.mp4"]["status"] == "ok"
    assert "absent.mp4" in found[b"absent.mp4"]["reason"]


def test_nothing_to_do(tree, exported, tmp_path, capsys):
    out = tmp_path / "results"
    assert infer(tree / "empty", model=exported, out=out) == 1
    assert "no video files in" in capsys.readouterr().err
    assert infer(tree / "absent.mp4", model=exported, out=out) == 1
    assert "There is no such file or folder" in capsys.readouterr().err
    assert not out.exists()


def test_what_cannot_work_is_said_before_any_work(tree, exported, tmp_path, capsys):
    out = tmp_path / "results"
    assert infer(tree, model=tmp_path / "no", out=out) == 1
    assert "avel export RUN" in capsys.readouterr().err
    assert infer(tree, model=exported, out=out, more=("--formats", "jsonl,cvs")) == 1
    assert "Did you mean 'csv'?" in capsys.readouterr().err
    assert not out.exists()


def test_a_link_is_followed_when_asked(tree, exported, tmp_path):
    more = ("--set", "media.follow_links=true")
    assert infer(tree / "link.mp4", model=exported, out=tmp_path, more=more) == 0


def test_an_interrupt_leaves_the_results_of_the_run_before(tree, exported, tmp_path, monkeypatch):
    from avel_tf.inference.pipeline import InferencePipeline

    assert infer(tree / "a.mp4", model=exported, out=tmp_path) == 0
    before = (tmp_path / "results.jsonl").read_bytes()
    finish = InferencePipeline.result

    def interrupted(self, path, *rest):
        if path.endswith("long.mp4"):
            raise KeyboardInterrupt
        return finish(self, path, *rest)

    monkeypatch.setattr(InferencePipeline, "result", interrupted)
    code = infer(tree / "a.mp4", tree / "long.mp4", model=exported, out=tmp_path)
    assert code == 130
    assert (tmp_path / "results.jsonl").read_bytes() == before
    assert not list(tmp_path.glob(".*"))


def test_each_file_of_a_model_is_hashed_once(tree, exported, tmp_path, monkeypatch):
    hashed: Counter[str] = Counter()
    digest = hashlib.file_digest

    def counted(stream, *args):
        hashed[os.path.relpath(stream.name, exported)] += 1
        return digest(stream, *args)

    monkeypatch.setattr(hashlib, "file_digest", counted)
    words = ["infer", str(tree / "a.mp4"), "--model", str(exported), "--out", str(tmp_path / "out")]
    assert main(words) == 0
    assert set(hashed.values()) == {1}
    assert {"saved_model.pb", "variables/variables.index"} <= set(hashed)
