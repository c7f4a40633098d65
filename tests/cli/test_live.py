"""avel infer on a live stream, without a model: what becomes of RESULTS and of the lines."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from avel_tf.cli.live import live_source
from avel_tf.inference.live_run import discard_batch_run
from avel_tf.inference.run_journal import RunJournal, RunJournalError

ROOT = Path(__file__).resolve().parents[2]

# Labels three seconds, or fewer when it shall stop, and says how many.
SCRIPT = """
import argparse, sys
from pathlib import Path
from types import SimpleNamespace
import avel_tf.inference.live as live
import avel_tf.inference.live_run as live_run
from avel_tf.cli.live import run_live
from avel_tf.config import Config
from avel_tf.events.result import Result, Segment

def localize_live(localizer, source, *, on_segment, should_stop):
    seconds = []
    while len(seconds) < 3 and not should_stop():
        second = Segment(float(len(seconds)), len(seconds) + 1.0, "bark", 0.5)
        seconds.append(second)
        on_segment(live.LiveSegment(second, 0.1))
    return Result(source, "ok", None, float(len(seconds)), tuple(seconds), model="demo/1")

live_run.localize_live = localize_live
live_run.open_exported = lambda model, **_: model
live_run.pipeline_of = lambda model, config, classes: SimpleNamespace(
    choose_engine=lambda: SimpleNamespace(description="none")
)
options = argparse.Namespace(
    model=Path("demo"), out=Path(sys.argv[1]), fresh="fresh" in sys.argv, trust_model=False,
    classes=None, class_table=None, on_event=None,
)
try:
    code = run_live(options, "-", ["jsonl"], Config())
except OSError as error:
    print(type(error).__name__, error, file=sys.stderr)
    code = 1
sys.exit(code)
"""


def test_lines_on_a_full_disk_cost_no_labels(tmp_path):
    with open("/dev/full", "w") as full:
        ended = subprocess.run(
            [sys.executable, "-c", SCRIPT, str(tmp_path)],
            cwd=ROOT,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=600,
        )
    (line,) = (tmp_path / "results.jsonl").read_text().splitlines()
    assert len(json.loads(line)["seconds"]) == 1
    assert ended.returncode == 1 and "Traceback" not in ended.stderr
    assert ended.stderr.splitlines()[-1].startswith(
        "OSError Standard output cannot be written: No space left on device."
    )


def test_a_closed_standard_input_is_told(monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(ValueError, match="Standard input is closed"):
        live_source(["-"], allow_address=False)


def test_what_files_left_does_not_stay_beside_a_stream(tmp_path):
    """Or the next run on files would go on from their ledger, and write over the stream."""
    with RunJournal(tmp_path, [], setup={}, model="demo/1"):
        with pytest.raises(RunJournalError, match="Another run is writing"):
            discard_batch_run(tmp_path)
        assert (tmp_path / "ledger.jsonl").read_bytes()
    for name in ("results.jsonl", "vtt/deep/a.mp4.vtt", "vtt/notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("old")
    discard_batch_run(tmp_path)
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")}
    assert left == {"results.jsonl", "vtt", "vtt/notes.txt"}


def test_a_run_on_files_does_not_resume_after_a_stream(tmp_path):
    with RunJournal(tmp_path, [], setup={}, model="demo/1"):
        (tmp_path / "results.jsonl").write_text("files\n")
    command = [sys.executable, "-c", SCRIPT, str(tmp_path), "fresh"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert ended.returncode == 0 and len(ended.stdout.splitlines()) == 3
    with (
        pytest.raises(RunJournalError, match="as a live stream leaves it"),
        RunJournal(tmp_path, [], setup={}, model="demo/1"),
    ):
        pass
    (line,) = (tmp_path / "results.jsonl").read_text().splitlines()
    assert len(json.loads(line)["seconds"]) == 3


def test_files_of_somebody_else_stay(tmp_path):
    (tmp_path / "vtt").mkdir()
    (tmp_path / "vtt" / "mine.vtt").write_text("WEBVTT")
    discard_batch_run(tmp_path)
    assert (tmp_path / "vtt" / "mine.vtt").is_file()
