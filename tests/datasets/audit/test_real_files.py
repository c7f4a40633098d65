"""The audit with the real decoder, on small real files and on real data sets."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from avel_tf.cli.main import main
from avel_tf.datasets import load_dataset
from avel_tf.datasets.audit import AuditSettings, audit
from avel_tf.synthesis.writer import write_video
from avel_tf.video.decode import decode_blocks
from avel_tf.video.isolated.decoder import shared_decoder
from tests.video.hostile import POISON

SECONDS = 3


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """One file of each kind."""
    path = tmp_path_factory.mktemp("clips")
    random = np.random.default_rng(0)
    frames = random.integers(0, 255, (SECONDS * 10, 64, 64, 3), dtype=np.uint8)
    sound = random.uniform(-0.5, 0.5, SECONDS * 16_000).astype(np.float32)
    black = np.zeros_like(frames)
    write_video(path / "good.mp4", frames, sound, frame_rate=10)
    write_video(path / "mute.mp4", frames, None, frame_rate=10)
    write_video(path / "silent.mp4", frames, np.zeros_like(sound), frame_rate=10)
    write_video(path / "black.mp4", black, sound, frame_rate=10)
    write_video(path / "uneven.mp4", frames, sound[: SECONDS * 8_000], frame_rate=10)
    (path / "empty.mp4").write_bytes(b"")
    (path / "text.mp4").write_text("this is not a film")
    whole = (path / "good.mp4").read_bytes()
    (path / "copy.mp4").write_bytes(whole)
    (path / "cut.mp4").write_bytes(whole[: len(whole) * 2 // 3])
    rows = "".join(f"{file.name},dog,0,2,train\n" for file in sorted(path.glob("*.mp4")))
    (path / "annotations.csv").write_text("video,label,start,end,split\n" + rows)
    return path


def test_each_kind_of_file(folder) -> None:
    report = audit(load_dataset(folder), AuditSettings(minimum_examples=1))
    names = {finding.kind: [name for name, _ in finding.items] for finding in report.findings}
    assert names.pop("empty-split") == []
    broken = {*names.pop("unreadable-file"), *names.pop("damaged-file", [])}
    assert {"empty.mp4", "text.mp4", "cut.mp4"} <= broken <= {
        "empty.mp4", "text.mp4", "cut.mp4", "uneven.mp4"
    }  # fmt: skip
    assert names == {
        "no-sound": ["mute.mp4"],
        "silent-sound": ["silent.mp4"],
        "black-picture": ["black.mp4"],
        "track-lengths": ["uneven.mp4"],
        # What was assumed where one track is shorter than the other.
        "unusual-tracks": ["cut.mp4", "uneven.mp4"],
        "duplicate-file": ["copy.mp4"],
    }


@pytest.mark.parametrize("quick", [pytest.param(True, marks=pytest.mark.slow), False])
def test_a_file_that_crashes_its_reader_costs_itself_alone(
    quick, folder, tmp_path, monkeypatch, capsys
) -> None:
    (tmp_path / "sitecustomize.py").write_text(POISON)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    names = ("good", "crashes", "hangs")
    for number, name in enumerate(names):  # of different sizes, so that none is a duplicate
        body = (folder / "good.mp4").read_bytes() + bytes(number)
        (tmp_path / f"{name}.mp4").write_bytes(body)
    rows = "".join(f"{name}.mp4,dog,0,2,train\n" for name in names)
    (tmp_path / "annotations.csv").write_text("video,label,start,end,split\n" + rows)
    shared_decoder().close()
    shared_decoder.cache_clear()  # so that its children know the poison
    try:
        words = ["--quick"] if quick else []
        assert main(["audit", str(tmp_path), "--set", "media.max_stall_seconds=2", *words]) == 2
    finally:
        shared_decoder().close()
        shared_decoder.cache_clear()
    said = capsys.readouterr().out
    assert "killed by signal 11 (SIGSEGV)" in said and "longer than 2 s" in said
    assert "good.mp4" not in said


def test_a_long_film_is_judged_by_all_of_it(tmp_path) -> None:
    """Light and sound come in its second minute only; and it is never in memory as a whole."""
    frames = np.zeros((70, 64, 64, 3), np.uint8)
    sound = np.zeros(70 * 16_000, np.float32)
    for name, last in (("dark", 0), ("late", 200)):
        frames[-3:] = last
        sound[-16_000:] = last / 400
        write_video(tmp_path / f"{name}.mp4", frames, sound, frame_rate=1)
    (tmp_path / "annotations.csv").write_text(
        "video,label,start,end\ndark.mp4,dog,0,2\nlate.mp4,dog,0,2\n"
    )
    facts = audit(load_dataset(tmp_path)).facts
    found = {path.name: (each.silent, each.black) for path, each in facts.items()}
    assert found == {"dark.mp4": (True, True), "late.mp4": (False, False)}
    blocks = []

    def decode(path, **options):
        for clip in decode_blocks(path, **options):
            blocks.append(clip.seconds)
            yield clip

    audit(load_dataset(tmp_path), AuditSettings(workers=1), decode=decode)
    assert blocks == [60, 10] * 2


def test_the_limits_of_the_configuration_hold(folder, tmp_path, capsys) -> None:
    shutil.copy(folder / "good.mp4", tmp_path / "film.mp4")
    (tmp_path / "annotations.csv").write_text("video,label,start,end\nfilm.mp4,dog,0,2\n")
    assert main(["audit", str(tmp_path), "--set", "media.max_seconds=1"]) == 2
    assert "raise media.max_seconds" in capsys.readouterr().out


def test_the_real_clips_are_all_readable(shared) -> None:
    report = audit(load_dataset(shared / "clips"), AuditSettings(quick=True))
    kinds = {finding.kind for finding in report.findings}
    assert not kinds & {"missing-file", "unreadable-file", "no-sound", "event-beyond-file"}


def test_the_real_ave_files(shared) -> None:
    report = audit(load_dataset(shared / "ave"), AuditSettings(quick=True))
    counts = {finding.kind: len(finding.items) for finding in report.findings}
    assert counts == {"missing-file": 4097, "leak": 18, "contradiction": 45, "event-empty": 1}
    assert [f"{balance.background:.3f}" for balance in report.balances] == [
        "0.169",
        "0.182",
        "0.178",
    ]
