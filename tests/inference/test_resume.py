"""avel infer, cut off in every way there is: what the next run makes of it."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import random
import signal
import subprocess
import sys
import time
import types
from pathlib import Path

import pytest

from avel_tf.cli.main import main
from avel_tf.events.result import read_results
from avel_tf.utils import durable_files
from tests.inference.fake_avel import FakePipeline, make_model
from tests.processes import wait_until

ROOT = Path(__file__).resolve().parents[2]
FILES = 40
# `make fuzz` sets it to 50.
KILLS = int(os.environ.get("AVEL_KILLS", "8"))
ODD_NAMES = (b"\xff\xfe.mp4", b"line\nbreak.mp4", b"-rf.mp4", b"%03d.mp4", "ä\u202e😀.mp4".encode())
OUTPUTS = ("results.jsonl", "results.csv")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return make_model(tmp_path / "saved_models" / "fake" / "1")


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    """Forty tiny files, five of odd names, three broken."""
    folder = tmp_path / "videos"
    folder.mkdir()
    names = [*ODD_NAMES, *(b"%02d.mp4" % number for number in range(FILES - len(ODD_NAMES)))]
    for number, name in enumerate(names):
        content = b"broken" if number % 13 == 6 else b"film %d" % number
        with open(os.fsencode(folder) + b"/" + name, "wb") as file:
            file.write(content)
    return folder


def words(videos: Path, model: Path, out: Path, *more: str) -> list[str]:
    return ["infer", str(videos), "--model", str(model), "--out", str(out), *more]


def start(videos: Path, model: Path, out: Path, *more: str, seconds: float = 0.0, **options):
    command = [sys.executable, "-m", "tests.inference.fake_avel", *words(videos, model, out, *more)]
    environment = {**os.environ, "FAKE_SECONDS": str(seconds), "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        **options,
    )


def run_child(videos: Path, model: Path, out: Path, *more: str, **options):
    """A run that may kill its process, or changes it."""
    process = start(videos, model, out, *more, **options)
    output, errors = process.communicate(timeout=600)
    return process.returncode, output, errors


def infer(videos: Path, model: Path, out: Path, *more: str) -> tuple[int, str, str]:
    """A run in this process, because the start of another one takes far longer."""
    output, errors = io.StringIO(), io.StringIO()
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(output),
        contextlib.redirect_stderr(errors),
    ):
        patch.setattr("avel_tf.inference.batch.InferencePipeline", FakePipeline)
        code = main(words(videos, model, out, *more))
    return code, output.getvalue(), errors.getvalue()


def outputs(out: Path) -> dict[str, bytes]:
    found = {name: (out / name).read_bytes() for name in OUTPUTS}
    found |= {str(path): path.read_bytes() for path in sorted((out / "vtt").rglob("*.vtt"))}
    return {name.replace(str(out), ""): content for name, content in found.items()}


def results_in(journal: Path) -> list[str]:
    """The videos of which a ledger holds the result."""
    if not journal.is_file():
        return []
    lines = [line for line in journal.read_bytes().splitlines(keepends=True) if line[-1:] == b"\n"]
    records = [json.loads(line) for line in lines]
    return [record["result"]["video"] for record in records if "result" in record]


def attempts_in(journal: Path) -> set[str]:
    """The videos that were touched."""
    records = [json.loads(line) for line in journal.read_bytes().splitlines()]
    return {record["attempt"] for record in records if "attempt" in record}


def test_every_input_has_one_line_in_order_whatever_its_name(videos, model, tmp_path):
    code, output, _ = infer(videos, model, tmp_path / "out")
    assert code == 2 and "40 files: 37 ok, 0 partial, 3 quarantined" in output
    names = [os.fsencode(each.video) for each in read_results(tmp_path / "out" / "results.jsonl")]
    below = os.fsencode(videos) + b"/"
    assert names == sorted(below + name for name in os.listdir(os.fsencode(videos)))


@pytest.mark.slow
def test_a_repeated_run_does_nothing_also_with_other_workers(videos, model, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    assert infer(videos, model, first, "--set", "data.workers=1")[0] == 2
    journal = (first / "ledger.jsonl").read_bytes()
    before = outputs(first)
    code, output, _ = infer(videos, model, first, "--set", "data.workers=2")
    assert code == 2 and "(40 of them done before)" in output
    assert outputs(first) == before
    added = (first / "ledger.jsonl").read_bytes()[len(journal) :]
    assert added.count(b"\n") == 1 and b'"setup"' in added  # the session's own line
    assert infer(videos, model, second, "--set", "data.workers=2")[0] == 2
    assert outputs(second) == before


@pytest.mark.slow
def test_a_run_killed_at_any_moment_resumes_to_the_same_bytes(videos, model, tmp_path):
    whole = tmp_path / "whole"
    began = time.monotonic()
    run = start(videos, model, whole, seconds=0.01)
    wait_until((whole / "ledger.jsonl").exists)
    ready = time.monotonic()
    run.communicate(timeout=600)
    expected = outputs(whole)
    moments = random.Random(5)
    cut = []
    for number in range(KILLS):
        out = tmp_path / f"killed{number}"
        workers = str(1 + number % 2)
        run = start(videos, model, out, "--set", f"data.workers={workers}", seconds=0.05)
        if number % 6 == 5:  # also while it starts
            time.sleep(moments.random() * (ready - began))
        else:
            journal, done = out / "ledger.jsonl", moments.randrange(FILES)
            wait_until(lambda: journal.exists() and len(results_in(journal)) >= done)  # noqa: B023
            time.sleep(moments.random() * 0.02)
        run.kill()
        run.communicate(timeout=600)
        done = results_in(out / "ledger.jsonl")
        cut.append(len(done))
        code, _, errors = infer(videos, model, out)
        assert code == 2, errors
        assert outputs(out) == expected
        # What was done before the kill was not done again.
        assert len(results_in(out / "ledger.jsonl")) == FILES
        assert not list(out.rglob(".writing-*"))
    assert any(0 < done < FILES for done in cut), f"no kill came in the midst of it: {cut}"


@pytest.mark.slow
def test_only_a_file_that_kills_the_process_twice_is_quarantined(videos, model, tmp_path):
    (videos / "10.mp4").write_bytes(b"poison")
    (videos / "20.mp4").write_bytes(b"poison too")
    out = tmp_path / "out"
    codes = []
    while not codes or codes[-1] == -signal.SIGKILL:
        codes.append(run_child(videos, model, out, "--set", "data.workers=2", seconds=0.002)[0])
        assert len(codes) < 6
    assert codes == [-signal.SIGKILL] * 4 + [2]
    by_name = {os.path.basename(each.video): each for each in read_results(out / "results.jsonl")}
    assert len(by_name) == FILES
    for name in ("10.mp4", "20.mp4"):
        assert by_name[name].status == "quarantined" and "died twice" in by_name[name].reason
    others = [each for name, each in by_name.items() if name not in ("10.mp4", "20.mp4")]
    assert not any("died" in (each.reason or "") for each in others)
    # Once it is mended, it is done as any other.
    (videos / "10.mp4").write_bytes(b"a film after all")
    assert run_child(videos, model, out)[0] == 2
    mended = {os.path.basename(each.video): each for each in read_results(out / "results.jsonl")}
    assert mended["10.mp4"].status == "ok" and mended["20.mp4"] == by_name["20.mp4"]


@pytest.mark.slow
def test_an_unexpected_error_ends_a_run_and_the_next_one_goes_on(videos, model, tmp_path):
    (videos / "10.mp4").write_bytes(b"cursed")
    out = tmp_path / "out"
    for _ in range(2):
        with pytest.raises(RuntimeError, match="nobody expects this"):
            infer(videos, model, out, "--set", "data.workers=1")
    assert infer(videos, model, out)[0] == 2
    (cursed,) = [
        each for each in read_results(out / "results.jsonl") if each.video.endswith("10.mp4")
    ]
    assert cursed.status == "quarantined" and "died twice" in cursed.reason


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_keeps_what_is_done_and_goes_on(videos, model, tmp_path, number):
    out, whole = tmp_path / "out", tmp_path / "whole"
    run = start(videos, model, out, "--set", "data.workers=2", seconds=0.03)
    wait_until(lambda: len(results_in(out / "ledger.jsonl")) >= 5)
    run.send_signal(number)
    output, errors = run.communicate(timeout=600)
    assert run.returncode == 130 and "Interrupted; run the same command again" in output
    assert "Finishing the files in progress" in errors and "Traceback" not in errors
    assert attempts_in(out / "ledger.jsonl") == set(results_in(out / "ledger.jsonl"))
    done = [each.video for each in read_results(out / "results.jsonl")]
    assert 5 <= len(done) < FILES and sorted(done) == sorted(results_in(out / "ledger.jsonl"))
    # Nobody is suspected of what the signal did, however often it comes.
    for _ in range(2):
        run = start(videos, model, out, seconds=0.03)
        wait_until(lambda: (out / "ledger.lock").read_bytes().startswith(b"open"))
        time.sleep(0.05)
        run.send_signal(number)
        run.communicate(timeout=600)
        assert run.returncode == 130
    assert infer(videos, model, out)[0] == 2
    infer(videos, model, whole)
    assert outputs(out) == outputs(whole)
    assert len(results_in(out / "ledger.jsonl")) == FILES


@pytest.mark.slow
def test_interrupted_twice_it_gives_up_the_files_in_hand(videos, model, tmp_path):
    out = tmp_path / "out"
    run = start(videos, model, out, "--set", "data.workers=2", seconds=2)
    wait_until(
        lambda: (
            (out / "ledger.jsonl").exists() and b"attempt" in (out / "ledger.jsonl").read_bytes()
        )
    )
    run.send_signal(signal.SIGINT)
    time.sleep(0.2)
    run.send_signal(signal.SIGINT)
    _, errors = run.communicate(timeout=600)
    assert run.returncode == 130 and "Traceback" not in errors
    assert attempts_in(out / "ledger.jsonl") and not results_in(out / "ledger.jsonl")
    # Nobody is suspected of it.
    assert infer(videos, model, out)[0] == 2
    assert len(results_in(out / "ledger.jsonl")) == FILES


@pytest.mark.slow
def test_a_second_run_on_one_folder_stops_at_once(videos, model, tmp_path):
    out = tmp_path / "out"
    first = start(videos, model, out, seconds=0.2)
    wait_until(lambda: len(results_in(out / "ledger.jsonl")) >= 1)
    before = (out / "ledger.lock").read_bytes()
    code, _, errors = infer(videos, model, out)
    assert code == 1
    assert f"Another run is writing to {out} (process {first.pid})" in errors
    assert (out / "ledger.lock").read_bytes() == before and first.poll() is None
    # The kernel gives the lock back when its holder is killed.
    first.kill()
    first.communicate(timeout=600)
    assert infer(videos, model, out)[0] == 2


def test_a_changed_file_is_done_again_and_no_other(videos, model, tmp_path):
    out = tmp_path / "out"
    infer(videos, model, out)
    before = results_in(out / "ledger.jsonl")
    (videos / "03.mp4").write_bytes(b"changed, and longer")
    content = (videos / "04.mp4").read_bytes()
    (videos / "04.mp4").write_bytes(content[::-1])  # same size, another time
    (videos / "05.mp4").unlink()
    (videos / "zz.mp4").write_bytes(b"new")
    assert infer(videos, model, out)[0] == 2
    again = results_in(out / "ledger.jsonl")[len(before) :]
    assert sorted(map(os.path.basename, again)) == ["03.mp4", "04.mp4", "zz.mp4"]
    videos_now = [os.path.basename(each.video) for each in read_results(out / "results.jsonl")]
    assert len(videos_now) == FILES and "05.mp4" not in videos_now
    whole = tmp_path / "whole"
    infer(videos, model, whole)
    assert outputs(whole)["results.jsonl"] == outputs(out)["results.jsonl"]


@pytest.mark.slow
def test_another_configuration_or_model_is_refused_unless_fresh(videos, model, tmp_path):
    out = tmp_path / "out"
    infer(videos, model, out)
    before = outputs(out)
    code, _, errors = infer(videos, model, out, "--set", "inference.window_seconds=8")
    assert code == 1 and "inference.window_seconds 10, now 8" in errors and "--fresh" in errors
    code, _, errors = infer(videos, make_model(tmp_path / "saved_models" / "fake" / "2"), out)
    assert code == 1 and "model 'fake/1', now 'fake/2'" in errors
    assert outputs(out) == before
    code, output, _ = infer(videos, model, out, "--set", "inference.window_seconds=8", "--fresh")
    assert code == 2 and "done before" not in output
    assert len(results_in(out / "ledger.jsonl")) == FILES


@pytest.mark.slow
def test_no_room_is_one_sentence_and_nothing_half_written(videos, model, tmp_path):
    """RLIMIT_FSIZE stands in for a full disk: a write ends short, the next one fails."""
    import resource

    out, whole = tmp_path / "out", tmp_path / "whole"
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    # Twice, with little more room the second time: no file may be blamed for it.
    for room in (3_001, 3_333, 4_005):
        code, _, errors = run_child(
            videos,
            model,
            out,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard)),  # noqa: B023
        )
        assert code == 1
        assert "ledger.jsonl cannot be written" in errors and "Free space" in errors
        assert "Traceback" not in errors
        assert (out / "ledger.jsonl").read_bytes().endswith(b"\n")
        assert not (out / "results.jsonl").exists() and not list(out.rglob(".writing-*"))
    assert infer(videos, model, out)[0] == 2
    infer(videos, model, whole)
    assert outputs(out) == outputs(whole)


@pytest.mark.slow
def test_no_room_for_the_results_keeps_the_ledger(videos, model, tmp_path):
    out = tmp_path / "out"
    infer(videos, model, out)
    before = outputs(out)
    (out / "results.jsonl").write_bytes(b"an older one\n")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.MonkeyPatch.context() as patch:
        without = types.SimpleNamespace(**{**vars(os), "replace": full})
        patch.setattr(durable_files, "os", without)
        code, _, errors = infer(videos, model, out)
    assert code == 1
    assert "The results cannot be written" in errors and "No space left" in errors
    assert (out / "results.jsonl").read_bytes() == b"an older one\n"
    assert not list(out.rglob(".writing-*"))
    assert infer(videos, model, out)[0] == 2
    assert outputs(out) == before


def test_a_model_that_was_changed_is_refused_unless_trusted(videos, model, tmp_path):
    (model / "assets" / "labels.txt").write_text("Cat\nDog\n")
    code, _, errors = infer(videos, model, tmp_path / "out")
    assert code == 1 and "assets/labels.txt is not the one" in errors and "--trust-model" in errors
    assert not (tmp_path / "out").exists()
    assert infer(videos, model, tmp_path / "out", "--trust-model")[0] == 2
