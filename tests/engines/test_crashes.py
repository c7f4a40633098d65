"""Engines whose process is killed: at the compilation, at the proof, in the middle of a run."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from avel_tf.cli.doctor import run as doctor
from avel_tf.cli.main import main
from avel_tf.engines.available import REFERENCE, EngineChoice, EngineUnavailableError
from avel_tf.engines.crashes import recorded_crashes
from avel_tf.engines.engine import EngineCrashed, EngineFailed, backbone_graphs
from avel_tf.engines.fallback import _RepeatableSource
from avel_tf.engines.openvino_process import WORKER, OpenVinoProcess
from avel_tf.engines.selection import choose_engine, make_engine
from avel_tf.engines.settings import EngineSettings
from avel_tf.events.result import Result
from avel_tf.utils.child_process import ChildProcess
from tests.engines.streams import MadeStream
from tests.logs import our_lines
from tests.processes import shared_memory, wait_until
from tests.video.hostile import decoder_pids

ROOT = Path(__file__).resolve().parents[2]
OPENVINO = EngineChoice("openvino", "float32")
NUMBERS = list(range(23))
AUTO = {"precision": "float32", "batch_pictures": 4}


@pytest.fixture
def settings(tmp_path) -> EngineSettings:
    return EngineSettings(cache=str(tmp_path), **AUTO)


@pytest.fixture(scope="module")
def graphs(extractor):
    return backbone_graphs(extractor)


@pytest.fixture
def compiled(tmp_path_factory, graphs) -> EngineSettings:
    """Settings with a cache that has the converted networks already."""
    folder = tmp_path_factory.getbasetemp() / "cache-of-crashes"
    return EngineSettings(cache=str(folder), **AUTO)


@pytest.fixture(scope="module")
def expected(extractor) -> tuple[np.ndarray, np.ndarray]:
    (batch,) = MadeStream(NUMBERS).batches(len(NUMBERS))
    visual, audio = extractor(batch.frames[:, None], batch.waveform)
    return visual.numpy()[:, 0], audio.numpy()[:, 0]


@pytest.fixture
def killed_at(monkeypatch):
    """Kills the child of an engine by a signal when it gets a message of a kind."""
    send = ChildProcess.send

    def arrange(kind: str, deed: str) -> None:
        def send_and_kill(child: ChildProcess, message: bytes, descriptors=()) -> None:
            send(child, message, descriptors)
            if json.loads(message)["do"] == kind:
                os.kill(child.pid, getattr(signal, deed))

        monkeypatch.setattr(ChildProcess, "send", send_and_kill)

    return arrange


def assert_embedded(parts: list, expected: tuple[np.ndarray, np.ndarray]) -> None:
    for place, right in enumerate(expected, start=1):
        found = np.concatenate([part[place] for part in parts])
        np.testing.assert_allclose(found, right, atol=2e-4)


def forget(settings: EngineSettings) -> None:
    for crash in recorded_crashes(settings):
        crash.path.unlink()


@pytest.mark.slow
def test_a_network_that_cannot_be_compiled_is_replaced(
    graphs, compiled, expected, caplog, monkeypatch
):
    engine = make_engine(OPENVINO, graphs, compiled)
    compiles = OpenVinoProcess.compile

    def refuse(process, path, properties):
        if not path.stem.endswith("-1"):
            return compiles(process, path, properties)
        raise EngineFailed("OpenVINO failed: Check 'shapes'\n failed")

    monkeypatch.setattr(OpenVinoProcess, "compile", refuse)  # 23 segments need single ones
    with caplog.at_level(logging.WARNING):
        parts = list(engine.embed(MadeStream(NUMBERS)))
    assert_embedded(parts, expected)
    (line,) = our_lines(caplog)
    assert "openvino float32 failed (OpenVINO failed: Check 'shapes' failed); tensorflow" in line
    assert not list(recorded_crashes(compiled, graphs))


@pytest.mark.parametrize("deed", ["SIGKILL", "SIGSEGV"])
def test_a_crash_in_the_middle_changes_no_result(
    graphs, compiled, expected, caplog, monkeypatch, deed
):
    engine = make_engine(OPENVINO, graphs, compiled)
    stream, parts = MadeStream(NUMBERS), []
    with caplog.at_level(logging.WARNING):
        for part in engine.embed(stream):
            if not parts:
                os.kill(engine._engine._process.pid, getattr(signal, deed))
            parts.append(part)
    assert_embedded(parts, expected)
    assert engine.choice == REFERENCE
    (line,) = our_lines(caplog)
    assert "The engine openvino float32 crashed" in line and deed in line
    assert "tensorflow float32 replaces it. No media file is the cause." in line
    crashes = list(recorded_crashes(compiled, graphs))
    # The system kills processes when memory runs out, which says nothing about the engine.
    assert [crash.fault for crash in crashes] == ([] if deed == "SIGKILL" else [deed])
    if deed != "SIGKILL":
        assert choose_engine(graphs, compiled, list) == REFERENCE
        named = replace(compiled, name="openvino")
        with pytest.raises(EngineUnavailableError, match=f"on this processor \\({deed}"):
            choose_engine(graphs, named, list)
        # Other graphs, and the same ones with another version, are tried.
        assert not list(recorded_crashes(compiled, replace(graphs, key="other")))
        monkeypatch.setattr("avel_tf.engines.crashes.version", lambda name: "1.0")
        assert not list(recorded_crashes(compiled, graphs))
        monkeypatch.undo()
    forget(compiled)


@pytest.mark.slow
def test_doctor_shows_what_crashed(graphs, tmp_path, killed_at, monkeypatch, capsys):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    settings = EngineSettings(**AUTO)
    killed_at("run", "SIGILL")
    engine = make_engine(OPENVINO, graphs, settings)
    list(engine.embed(MadeStream([1])))
    doctor(type("Options", (), {"model": None}))
    (crash,) = recorded_crashes(settings)
    assert f"openvino float32 crashed (SIGILL, {crash.date})" in capsys.readouterr().out


@pytest.mark.slow
def test_a_crash_at_the_compilation(graphs, settings, expected, killed_at):
    killed_at("compile", "SIGFPE")
    engine = make_engine(OPENVINO, graphs, settings)
    assert_embedded(list(engine.embed(MadeStream(NUMBERS))), expected)
    assert engine.choice == REFERENCE


@pytest.mark.slow
def test_a_crash_at_the_verification(exported, clips, tmp_path, killed_at, caplog, monkeypatch):
    from avel_tf.engines.sample import sample_clips
    from avel_tf.inference.pipeline import InferencePipeline
    from avel_tf.video.decode_settings import DecodeSettings

    settings = EngineSettings(cache=str(tmp_path), precision="float32")
    graphs = InferencePipeline(exported)._graphs
    videos = sorted(clips.glob("videos/**/*.mp4"))
    sample = sample_clips(videos, graphs.recipe, DecodeSettings())
    killed_at("run", "SIGILL")
    assert choose_engine(graphs, settings, lambda: sample) == REFERENCE
    (line,) = our_lines(caplog)
    assert "openvino float32 is not used: it crashed" in line and "SIGILL" in line
    monkeypatch.undo()
    # Nothing is tried again.
    assert choose_engine(graphs, settings, lambda: pytest.fail("verified again")) == REFERENCE


def test_an_engine_by_name_is_not_replaced(graphs, compiled, killed_at):
    settings = replace(compiled, name="openvino")
    killed_at("run", "SIGKILL")
    engine = make_engine(OPENVINO, graphs, settings)
    with pytest.raises(EngineUnavailableError, match="openvino float32 crashed.*SIGKILL.*auto"):
        list(engine.embed(MadeStream(NUMBERS)))


def test_threads_share_one_replacement(graphs, compiled, expected, caplog):
    engine = make_engine(OPENVINO, graphs, compiled)
    barrier = threading.Barrier(3)
    found: list[list] = [[], []]

    def work(parts: list) -> None:
        for part in engine.embed(MadeStream(NUMBERS)):
            if not parts:
                barrier.wait()
                barrier.wait()
            parts.append(part)

    threads = [threading.Thread(target=work, args=(parts,)) for parts in found]
    for thread in threads:
        thread.start()
    barrier.wait()
    os.kill(engine._engine._process.pid, signal.SIGKILL)
    barrier.wait()
    for thread in threads:
        thread.join()
    for parts in found:
        assert_embedded(parts, expected)
    assert len(our_lines(caplog)) == 1


def test_a_source_is_closed_while_a_thread_reads_it():
    """As by an interrupt, which must stay one."""
    reading, go = threading.Event(), threading.Event()

    class Source(MadeStream):
        def batches(self, seconds: int):
            reading.set()
            go.wait()
            yield from super().batches(seconds)

    source = _RepeatableSource(Source([1, 2]), 1)
    thread = threading.Thread(target=lambda: next(source.batches(1)))
    thread.start()
    reading.wait()
    threading.Timer(0.1, go.set).start()
    source.close()
    thread.join()
    assert list(source.batches(1)) == [*source.unfinished]


def test_a_worker_that_does_not_start():
    process = OpenVinoProcess("avel_tf.engines.absent")
    with pytest.raises(EngineCrashed, match="exit code 1: .*No module named") as caught:
        process.compile(Path("model.xml"), {})
    assert caught.value.fault is None
    process.close()


def test_an_error_of_openvino_is_no_crash(tmp_path):
    process = OpenVinoProcess()
    with pytest.raises(RuntimeError, match=r"(?s)OpenVINO failed: .*absent\.xml"):
        process.compile(tmp_path / "absent.xml", {})
    # In its own session it gets no Ctrl-C, and a SIGTERM to all processes does not end it.
    assert os.getsid(process.pid) == process.pid
    os.kill(process.pid, signal.SIGTERM)
    with pytest.raises(RuntimeError, match="OpenVINO failed"):
        process.compile(tmp_path / "absent.xml", {})
    process.close()


def test_the_process_ends_with_its_engine(graphs, compiled):
    engine = make_engine(OPENVINO, graphs, compiled)
    pid = engine._engine._process.pid
    (batch,) = MadeStream([1]).batches(1)
    engine.embed_seconds(batch.frames, batch.waveform)
    assert pid in decoder_pids(module=WORKER)
    del engine
    assert pid not in decoder_pids(module=WORKER)


RUN = """
import sys
from avel_tf.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


def words(videos: Path, exported: Path, out: Path) -> list[str]:
    given = ["infer", str(videos), "--model", str(exported), "--set", "engine.precision=float32"]
    return [*given, "--out", str(out), "--formats", "jsonl"]


def infer(*arguments: Path) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", RUN, *words(*arguments)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def results(folder: Path) -> list[Result]:
    return [*map(Result.from_json, (folder / "results.jsonl").read_text().splitlines())]


@pytest.mark.slow
def test_infer_survives_the_crash_of_its_engine(exported, clips, tmp_path, monkeypatch, capsys):
    """And leaves nothing in shared memory, whichever of the two processes is killed."""
    videos = clips / "videos"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert main(words(videos, exported, tmp_path / "whole")) == 0
    before = shared_memory()

    crashed = infer(videos, exported, tmp_path / "crashed")
    journal = tmp_path / "crashed" / "ledger.jsonl"
    wait_until(lambda: journal.exists() and '"status"' in journal.read_text(), crashed)
    (pid,) = decoder_pids(crashed.pid, WORKER)
    os.kill(pid, signal.SIGSEGV)
    _, said = crashed.communicate()
    assert crashed.returncode == 0
    assert said.count("crashed") == 1 and "(SIGSEGV)" in said
    for expected, found in zip(
        results(tmp_path / "whole"), results(tmp_path / "crashed"), strict=True
    ):
        assert found.status == expected.status == "ok"
        assert [each.label for each in found.seconds] == [each.label for each in expected.seconds]
        scores = [[each.score for each in one.seconds] for one in (found, expected)]
        np.testing.assert_allclose(*scores, atol=1e-3)
    # The results of the engine that crashed are kept.
    capsys.readouterr()
    assert main(words(videos, exported, tmp_path / "crashed")) == 0
    assert "tensorflow float32" in capsys.readouterr().out

    (tmp_path / "cache" / "avel-tf" / "crashes").rename(tmp_path / "gone")
    killed = infer(videos, exported, tmp_path / "killed")
    wait_until(lambda: decoder_pids(killed.pid, WORKER), killed)
    (pid,) = decoder_pids(killed.pid, WORKER)
    killed.kill()
    killed.wait()
    wait_until(lambda: not Path(f"/proc/{pid}").exists() or _is_zombie(pid))
    assert shared_memory() <= before


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True
