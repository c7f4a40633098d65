"""The audit finds each planted defect, and nothing in a clean data set.

The files hold random bytes; what they are like is said by a stand-in for the decoder, so that
each defect can be planted alone. `test_real_files.py` uses the real one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from avel_tf.datasets import SPLITS, load_dataset
from avel_tf.datasets.audit import AuditReport, AuditSettings, audit
from avel_tf.reports.audit_report import write_audit_report
from avel_tf.video.errors import MediaError

SETTINGS = AuditSettings(minimum_examples=3, workers=2)


@dataclass
class Plant:
    """A data set to plant defects in: per file what the decoder says, and the rows of the table."""

    folder: Path
    infos: dict[str, dict[str, Any]] = field(default_factory=dict)
    rows: list[list[Any]] = field(default_factory=list)

    def add(self, name: str, split: str, *events: tuple[str, float, float], **info: Any) -> None:
        (self.folder / name).write_bytes(f"{name:40}".encode())
        self.infos[name] = info
        self.rows += [[name, *event, split] for event in events or [("", "", "")]]

    def row(self, name: str) -> list[Any]:
        return next(row for row in self.rows if row[0] == name)

    def probe(self, path: Path) -> Any:
        info = self.infos[path.name]
        if "error" in info:
            raise MediaError(path, info["error"])
        names = ("duration", "video_duration", "audio_duration")
        return SimpleNamespace(
            **{name: info.get(name, info.get("seconds", 10.0)) for name in names},
            audio_codec=info.get("audio_codec", "aac"),
        )

    def decode(self, path: Path, **_: Any) -> Any:
        info = self.infos[path.name]
        yield SimpleNamespace(
            frames=np.full((10, 1, 4, 4, 3), info.get("brightness", 128), np.uint8),
            waveform=np.full(160, info.get("loudness", 0.1), np.float32),
            valid=np.ones(10, bool),
            has_sound=info.get("has_sound", True),
            problem=info.get("problem"),
            remark=info.get("remark"),
        )

    def audit(self, settings: AuditSettings = SETTINGS, **arguments: Any) -> AuditReport:
        lines = ["video,label,start,end,split", *(",".join(map(str, row)) for row in self.rows)]
        (self.folder / "annotations.csv").write_text("\n".join(lines) + "\n")
        dataset = load_dataset(self.folder)
        return audit(dataset, settings, self.probe, self.decode, **arguments)


@pytest.fixture
def clean(tmp_path) -> Plant:
    """Three classes, three examples of each in every split, a third of the seconds background."""
    plant = Plant(tmp_path)
    for split in SPLITS:
        for number in range(9):
            label = ("cat", "dog", "owl")[number % 3]
            plant.add(f"{split}{number}.mp4", split, (label, number % 4, 7 + number % 4))
    return plant


def found(report: AuditReport) -> dict[str, tuple[str, list[str]]]:
    return {f.kind: (f.severity, [name for name, _ in f.items]) for f in report.findings}


def test_silent_on_a_clean_data_set(clean) -> None:
    report = clean.audit()
    assert report.findings == ()
    assert report.verdict == "No defects found."
    assert "No defects found." in report.to_text()


@pytest.mark.parametrize(
    ("info", "kind", "severity"),
    [
        ({"error": "it is empty"}, "unreadable-file", "error"),
        ({"problem": "ended after 4 of 10 s"}, "damaged-file", "error"),
        ({"audio_codec": None}, "no-sound", "warning"),
        ({"has_sound": False}, "no-sound", "warning"),
        ({"loudness": 0.0005}, "silent-sound", "warning"),
        ({"remark": "audio track 2 of 2 is used"}, "unusual-tracks", "note"),
        ({"brightness": 3}, "black-picture", "warning"),
        ({"audio_duration": 9.4}, "track-lengths", "warning"),
        ({"seconds": 6.0}, "event-beyond-file", "error"),
    ],
)
def test_one_bad_file(clean, info, kind: str, severity: str) -> None:
    clean.infos["train0.mp4"] = info
    assert found(clean.audit()) == {kind: (severity, ["train0.mp4"])}


def test_a_file_of_less_than_half_a_second(clean) -> None:
    clean.infos["test3.mp4"] = {"seconds": 0.3}
    clean.rows.remove(clean.row("test3.mp4"))
    clean.rows += [["test3.mp4", "cat", 0, 0.6, "test"]]
    report = clean.audit()
    assert found(report) == {"too-short": ("error", ["test3.mp4"])}


@pytest.mark.parametrize(
    "info",
    [
        {"audio_duration": 9.6},
        {"audio_duration": None},
        {"seconds": 10.4},
        {"loudness": 0.002},
        {"brightness": 30},
    ],
)
def test_small_differences_are_no_defects(clean, info) -> None:
    clean.infos["train0.mp4"] = info
    assert clean.audit().findings == ()


def test_quick_reads_headers_only(clean) -> None:
    clean.infos["train0.mp4"] = {"problem": "x", "loudness": 0.0, "brightness": 0}
    clean.infos["train1.mp4"] = {"error": "it is empty"}

    def decode(path: Path, **_: Any) -> None:
        raise AssertionError("decoded")

    report = audit(
        load_dataset(clean.audit().dataset.root),
        AuditSettings(quick=True, minimum_examples=3),
        clean.probe,
        decode,
    )
    assert found(report) == {"unreadable-file": ("error", ["train1.mp4"])}
    assert "it is empty" in report.to_text()


def test_a_length_that_the_header_does_not_tell_is_counted(clean) -> None:
    clean.infos["train0.mp4"] = {"duration": None}
    clean.row("train0.mp4")[2:4] = [0, 12]
    assert "the file has 10.00 s" in clean.audit().to_text()


def test_missing_file(clean) -> None:
    (clean.folder / "train0.mp4").unlink()
    report = clean.audit()
    assert found(report) == {"missing-file": ("error", ["train0.mp4"])}
    assert str(clean.folder / "train0.mp4") in report.to_text()


@pytest.mark.parametrize(
    ("start", "end", "kind", "severity"),
    [
        (-1, 5, "event-times", "error"),
        (6, 2, "event-times", "error"),
        (3, 3, "event-empty", "warning"),
        (0, 0, "event-empty", "warning"),
        (3.6, 4.4, "event-empty", "warning"),
        (1, 10.6, "event-beyond-file", "error"),
    ],
)
def test_times_that_cannot_be_meant(clean, start, end, kind: str, severity: str) -> None:
    clean.row("train0.mp4")[2:4] = [start, end]
    assert found(clean.audit()) == {kind: (severity, ["train0.mp4"])}


@pytest.mark.parametrize(("start", "end"), [(0, 10.5), (3.5, 4), (0.0, 0.51), (9.2, 10)])
def test_times_that_are_meant(clean, start: float, end: float) -> None:
    clean.row("train0.mp4")[2:4] = [start, end]
    assert clean.audit().findings == ()


def test_events_beyond_what_training_reads(clean) -> None:
    clean.infos["train0.mp4"] = {"seconds": 30.0}
    clean.row("train0.mp4")[2:4] = [0, 20]
    report = clean.audit()
    assert report.findings == () and report.balances[0].total == 110
    report = clean.audit(AuditSettings(seconds=10, minimum_examples=3, workers=1))
    assert found(report) == {"event-beyond-window": ("warning", ["train0.mp4"])}
    assert report.balances[0].total == 90


def test_clips_shorter_than_training_reads(clean) -> None:
    clean.infos["train0.mp4"] = {"seconds": 7.0}
    assert clean.audit().findings == ()
    report = clean.audit(AuditSettings(seconds=10, minimum_examples=3, workers=1))
    assert found(report) == {"short-clip": ("note", ["train0.mp4"])}


def test_events_of_different_classes_in_one_second(clean) -> None:
    clean.rows.append(["train0.mp4", "dog", 5, 8, "train"])
    report = clean.audit()
    assert found(report) == {"overlap": ("warning", ["train0.mp4"])}
    assert "2 s: cat and dog" in report.to_text()
    clean.rows[-1][2:4] = [7, 9]
    assert clean.audit().findings == ()


def test_an_event_listed_twice(clean) -> None:
    clean.rows.append(clean.row("train0.mp4"))
    assert found(clean.audit()) == {"duplicate-event": ("warning", ["train0.mp4"])}


def test_one_content_under_two_names(clean) -> None:
    content = (clean.folder / "train0.mp4").read_bytes()
    (clean.folder / "train3.mp4").write_bytes(content)
    assert found(clean.audit()) == {"duplicate-file": ("warning", ["train0.mp4"])}
    (clean.folder / "test3.mp4").write_bytes(content)
    report = clean.audit()
    assert found(report) == {"leak-content": ("error", ["train0.mp4 (train)"])}
    assert "same content as train3.mp4 (train), test3.mp4 (test)" in report.to_text()


def test_empty_split(clean) -> None:
    clean.rows = [row for row in clean.rows if row[-1] != "validation"]
    report = clean.audit()
    assert found(report) == {"empty-split": ("warning", [])}
    clean.rows = [row for row in clean.rows if row[-1] != "train"]
    assert found(clean.audit())["empty-split"][0] == "error"


def test_a_split_whose_events_are_withheld(clean) -> None:
    for row in clean.rows:
        if row[-1] == "test":
            row[1:4] = ["", "", ""]
    assert found(clean.audit()) == {"no-events": ("warning", [])}


def test_missing_and_rare_classes(clean) -> None:
    for row in clean.rows:
        if row[1] == "owl" and row[-1] == "train":
            row[1] = "cat"
    report = clean.audit()
    assert found(report) == {"class-missing-train": ("error", ["owl"])}
    for name in ("test2.mp4", "validation2.mp4", "validation5.mp4", "validation8.mp4"):
        clean.row(name)[1] = "cat"
    assert found(clean.audit()) == {
        "class-missing-train": ("error", ["owl"]),
        "class-missing-validation": ("warning", ["owl"]),
        "class-few-test": ("warning", ["owl"]),
    }


def test_no_background_in_training(clean) -> None:
    for row in clean.rows:
        if row[-1] == "train":
            row[2:4] = [0, 10]
    assert found(clean.audit()) == {"no-background": ("warning", [])}


def test_imbalance(clean) -> None:
    for row in clean.rows:
        if row[-1] == "train" and row[1] == "owl":
            row[2:4] = [0, 1]
    for number in range(12):
        clean.add(f"more{number}.mp4", "train", ("cat", 0, 7))
    assert found(clean.audit()) == {"imbalance": ("note", ["cat", "owl"])}


def test_classes_that_differ_only_in_spelling(clean) -> None:
    for split in SPLITS:
        for number in range(3):
            clean.add(f"{split}x{number}.mp4", split, ("Barn_Owl", 0, 5))
            clean.add(f"{split}y{number}.mp4", split, ("barn owl", 0, 5))
    assert found(clean.audit()) == {"similar-classes": ("warning", ["barn owl"])}


def test_files_in_two_splits_and_rows_that_contradict(tmp_path) -> None:
    for name, rows in {
        "train": "Bark&a&good&0&9\nCat&a&good&5&9\nBark&b&good&0&9\nBark&c&good&0&9\n",
        "val": "Bark&b&good&0&9\nCat&d&good&0&9\n",
        "test": "Bark&c&good&0&9\nCat&e&good&0&9\n",
    }.items():
        (tmp_path / f"{name}Set.txt").write_text(rows)
    (tmp_path / "Annotations.txt").write_text("Bark&a&good&0&9\nCat&e&good&0&9\n")
    report = audit(load_dataset(tmp_path), AuditSettings(quick=True, minimum_examples=1))
    kinds = found(report)
    assert kinds["leak"] == ("error", ["c", "b"])
    assert kinds["contradiction"] == ("warning", ["a"])
    assert "9 s with different labels in 2 rows" in report.to_text()
    assert set(kinds) == {"leak", "contradiction", "missing-file"}


def test_balance(clean) -> None:
    train = clean.audit().balances[0]
    assert (train.videos, train.files, train.total) == (9, 9, 90)
    assert train.seconds.tolist() == [21, 21, 21, 27]
    assert train.examples.tolist() == [3, 3, 3]
    assert train.background == pytest.approx(0.3)


def test_text_shows_the_ten_worst(clean) -> None:
    for number in range(15):
        clean.add(f"x{number:02}.mp4", "train", ("cat", 0, 10 + number), ("cat", 0, 3))
    lines = clean.audit().to_text().splitlines()
    start = next(n for n, line in enumerate(lines) if line.startswith("ERROR"))
    assert lines[start] == "ERROR   14 events that end after the end of the file."
    assert "x14.mp4" in lines[start + 2] and "x05.mp4" in lines[start + 11]
    assert lines[start + 12].strip() == "and 4 more"


def test_progress(clean) -> None:
    calls: list[tuple[int, int]] = []
    clean.audit(progress=lambda done, total: calls.append((done, total)))
    assert calls == [(n, 27) for n in range(1, 28)]


def test_hostile_names_are_shown_not_obeyed(clean) -> None:
    clean.add("<script>alert(1).mp4", "train", ("<b>owl & $co$", 0, 5), error="<i>bad</i>")
    clean.add("\x1b[31mred.mp4", "train", ("<b>owl & $co$", 0, 5), problem="x")
    report = clean.audit()
    text = report.to_text()
    assert "\x1b" not in text and r"\x1b[31mred.mp4" in text
    write_audit_report(report, clean.folder / "out" / "audit.html")
    page = (clean.folder / "out" / "audit.html").read_text("utf-8")
    assert "&lt;script&gt;alert(1).mp4" in page and "&lt;i&gt;bad" in page
    assert "<script" not in page and "<b>" not in page and "<i>" not in page
    assert "\x1b" not in page


def test_a_file_name_of_any_bytes(clean) -> None:
    name = "caf\udce9.mp4"
    (clean.folder / name).write_bytes(b"x")
    clean.infos[name] = {"error": "bad"}
    lines = "video,label,start,end,split\n" + f"{name},cat,0,9,train\n"
    path = clean.folder / "annotations.csv"
    path.write_bytes(lines.encode("utf-8", "surrogateescape"))
    report = audit(load_dataset(clean.folder), SETTINGS, clean.probe, clean.decode)
    assert r"caf\xe9.mp4  bad" in report.to_text()
    write_audit_report(report, clean.folder / "audit.html")


def test_page_is_self_contained_and_the_same_each_time(clean) -> None:
    clean.infos["train0.mp4"] = {"error": "bad"}
    report = clean.audit()
    for name in ("a.html", "b.html"):
        write_audit_report(report, clean.folder / name)
    page = (clean.folder / "a.html").read_text("utf-8")
    assert page == (clean.folder / "b.html").read_text("utf-8")
    outside = page.replace("http://www.w3.org/", "")  # the names of the XML vocabularies
    assert "http" not in outside.replace("http-equiv", "") and "<link" not in page
    assert page.count("<svg") == 4 and "1 error." in page
