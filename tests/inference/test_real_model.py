"""An exported model on real files: the same bytes, however the run went."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock

import pytest

from avel_tf.cli.main import main
from avel_tf.events.result import read_results
from tests.conftest import FLOAT32, as_set
from tests.processes import wait_until

ROOT = Path(__file__).resolve().parents[2]
ENGINE = ("engine.name=tensorflow", "engine.precision=float32")

pytestmark = pytest.mark.usefixtures("one_engine")


def words(clips: Path, exported: Path, out: Path, workers: int) -> list[str]:
    return [
        *("infer", str(clips / "videos" / "train"), str(clips / "videos" / "missing.mp4")),
        *("--model", str(exported), "--out", str(out)),
        *as_set((*ENGINE, f"data.workers={workers}")),
    ]


@pytest.mark.slow
def test_bytes_are_the_same_after_kills_and_with_any_workers(clips, exported, tmp_path):
    results = {}
    for workers in (1, 3):
        out = tmp_path / str(workers)
        assert main(words(clips, exported, out, workers)) == 2  # one file is missing
        results[workers] = (out / "results.jsonl").read_bytes()
    assert results[1] == results[3]
    found = list(read_results(tmp_path / "1" / "results.jsonl"))
    assert [each.status for each in found] == ["ok"] * 7 + ["quarantined"]

    out = tmp_path / "killed"
    run = subprocess.Popen(
        [sys.executable, "-m", "avel_tf.cli", *words(clips, exported, out, 2)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    journal = out / "ledger.jsonl"
    wait_until(lambda: journal.exists() and journal.read_bytes().count(b'{"result"') >= 3, run)
    run.kill()
    assert run.wait() == -signal.SIGKILL
    assert not (out / "results.jsonl").exists()
    done = journal.read_bytes().count(b'{"result"')
    assert main(words(clips, exported, out, 1)) == 2
    assert (out / "results.jsonl").read_bytes() == results[1]
    # Nothing that was done was done again.
    assert journal.read_bytes().count(b'{"result"') == 8 >= done


@pytest.mark.slow
def test_what_lies_beside_a_file_does_not_change_its_result(clips, exported, tmp_path):
    """Nor does the order in which decoders happen to end: every batch has one shape."""
    from avel_tf.inference.localizer import Localizer

    localizer = Localizer(exported, engine=FLOAT32)
    paths = sorted(str(path) for path in (clips / "videos").rglob("*.mp4"))
    together = [each.to_json() for each in localizer.localize(paths)]
    assert [json.loads(each)["video"] for each in together] == paths
    assert [localizer.localize(path).to_json() for path in paths[:4]] == together[:4]
    assert [each.to_json() for each in localizer.localize(paths[::-1])] == together[::-1]


def test_every_file_is_announced_before_it_is_opened(clips, exported, tmp_path):
    from avel_tf.inference.pipeline import InferencePipeline

    paths = sorted(str(path) for path in (clips / "videos").rglob("*.mp4"))[:3]
    later = str(tmp_path / "later.mp4")
    announced = []

    def on_open(path: str) -> None:
        announced.append(path)
        if path == later:  # were it opened already, it would be missing
            os.link(paths[0], later)

    pipeline = InferencePipeline(exported, engine=FLOAT32)
    results = dict(pipeline.label_files([*paths, later], on_open=on_open))
    assert sorted(announced) == sorted([*paths, later])
    assert results[3].status == "ok" and results[3].seconds == results[0].seconds


def test_an_error_of_the_journal_stops_the_run_as_itself(clips, exported, tmp_path):
    """The decoding threads meet it; the sentence must still reach the user."""
    from avel_tf.inference.batch import localize_into_journal
    from avel_tf.inference.pipeline import InferencePipeline
    from avel_tf.inference.run_journal import RunJournal
    from avel_tf.utils.durable_files import JournalFile

    pipeline = InferencePipeline(exported, engine=FLOAT32)
    paths = [str(path) for path in (clips / "videos").rglob("*.mp4")][:3]
    with (
        pytest.raises(OSError, match=r"^\S+ cannot be written: No space left"),
        RunJournal(tmp_path / "out", paths, setup={}, model=pipeline.model.name) as journal,
        pytest.MonkeyPatch.context() as patch,
    ):
        full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        patch.setattr(JournalFile, "append", Mock(side_effect=full))
        localize_into_journal(pipeline, journal)
