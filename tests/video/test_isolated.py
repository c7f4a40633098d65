"""What decoding in a child process gives, and what is left when the child is lost."""

from __future__ import annotations

import dataclasses
import gc
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import avel_tf
from avel_tf.video.decode_settings import DecodeSettings
from avel_tf.video.errors import MediaError
from avel_tf.video.isolated.decoder import shared_decoder
from avel_tf.video.isolated.process import DecoderProcess
from avel_tf.video.probe import probe
from tests.processes import shared_memory
from tests.video.films import SIZE, TICKS, numbers, tone, write_film
from tests.video.hostile import POISON, decoder_pids
from tests.video.in_process import OwnDecoder, decode_blocks, decode_clip

HOME = Path(avel_tf.__file__).resolve().parents[1]


@pytest.fixture(autouse=True, scope="module")
def no_other_children() -> None:
    """Tests of other folders leave the process's shared decoder behind; here children count."""
    shared_decoder().close()
    shared_decoder.cache_clear()


@pytest.fixture
def decoder() -> Iterator[OwnDecoder]:
    with OwnDecoder() as decoder:
        yield decoder


@pytest.fixture
def poisoned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, film: Path) -> Path:
    """A folder of films that do to their decoder what their name says."""
    hook = tmp_path / "hook"
    hook.mkdir()
    (hook / "sitecustomize.py").write_text(POISON)
    monkeypatch.setenv("PYTHONPATH", str(hook))
    folder = tmp_path / "films"
    folder.mkdir()
    kinds = ("aborts", "crashes", "exits", "is_killed", "hangs", "spins", "raises", "eats")
    for name in (*kinds, "good"):
        (folder / f"{name}.mp4").write_bytes(film.read_bytes())
    return folder


@pytest.fixture(scope="module")
def long_film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """23 seconds, two pictures each, with a tone."""
    path = tmp_path_factory.mktemp("long") / "long.mp4"
    times = [n * TICKS // 2 for n in range(46)]
    return write_film(path, times=times, rate=2, sound=tone(23, 16_000), sound_rate=16_000)


def same(one: object, other: object) -> None:
    for name in ("frames", "waveform", "valid"):
        assert np.array_equal(getattr(one, name), getattr(other, name))
        assert getattr(one, name).dtype == getattr(other, name).dtype
    assert (one.info, one.has_sound, one.problem) == (other.info, other.has_sound, other.problem)


def ended(pids: list[int], seconds: float = 300.0) -> bool:
    """Whether all of these processes end in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not any(os.path.exists(f"/proc/{pid}/exe") and _runs(pid) for pid in pids):
            return True
        time.sleep(0.05)
    return False


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_blocks_and_clips_are_those_of_this_process(long_film: Path, decoder: OwnDecoder) -> None:
    for block_seconds in (1, 4, 10, 23, 60):
        form = {"block_seconds": block_seconds, "frames_per_second": 3, "size": (20, 36)}
        ours = list(decode_blocks(long_film, **form))
        theirs = list(decoder.decode_blocks(long_film, **form))
        assert len(ours) == len(theirs), block_seconds
        for one, other in zip(ours, theirs, strict=True):
            same(one, other)
    for seconds in (None, 1, 10, 15, 23, 30):
        ours = decode_clip(long_film, seconds=seconds, size=SIZE)
        same(ours, decoder.decode_clip(long_film, seconds=seconds, size=SIZE))


def test_what_is_handed_out_stays_as_it_is(long_film: Path, decoder: OwnDecoder) -> None:
    """The shared memory is used again and again; a clip must not change with it."""
    blocks = decoder.decode_blocks(long_film, block_seconds=1, size=SIZE)
    kept = [(block, block.frames.tobytes()) for block in blocks]
    assert all(block.frames.tobytes() == content for block, content in kept)
    kept[0][0].frames[:] = 1  # and it may be written to


def test_errors_are_those_of_this_process(decoder: OwnDecoder, tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "text.mp4").write_text("no film")
    for path in (tmp_path, tmp_path / "empty.mp4", tmp_path / "text.mp4", "missing.mp4", "a\0b"):
        for ours, theirs in ((decode_clip, decoder.decode_clip), (probe, decoder.probe)):
            with pytest.raises(MediaError) as expected:
                ours(path)
            with pytest.raises(MediaError) as found:
                theirs(path)
            assert str(expected.value) == str(found.value)
    assert len(decoder.idle_pids) == 1  # none of these cost a child


@pytest.mark.parametrize("wrong", [{"frames_per_second": 0}, {"size": (0, 4)}, {"size": (4,)}])
def test_requests_that_make_no_sense(wrong: dict, film: Path, decoder: OwnDecoder) -> None:
    for decode in (decoder.decode_clip, decoder.decode_blocks):
        with pytest.raises(ValueError):
            decode(film, **wrong)
    with pytest.raises(ValueError, match="seconds"):
        decoder.decode_clip(film, seconds=0)
    with pytest.raises(ValueError, match="block_seconds"):
        decoder.decode_blocks(film, block_seconds=0)


def test_names_are_relative_to_the_folder_of_this_process(
    film: Path, decoder: OwnDecoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoder.decode_clip(film, size=SIZE)  # the child has started in another folder
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here.mp4").write_bytes(film.read_bytes())
    for spelling in ("here.mp4", b"here.mp4", Path("here.mp4"), "./here.mp4"):
        clip = decoder.decode_clip(spelling, size=SIZE)
        assert clip.info.path == os.fsdecode(spelling)


def test_a_child_is_used_again_and_knows_no_tensorflow(film: Path, decoder: OwnDecoder) -> None:
    decoder.decode_clip(film, size=SIZE)
    (first,) = decoder.idle_pids
    for rate in (1, 4):
        decoder.decode_clip(film, size=SIZE, frames_per_second=rate)
    assert decoder.idle_pids == (first,)
    maps = Path(f"/proc/{first}/maps").read_text()
    assert "libav" in maps and "tensorflow" not in maps.replace(str(HOME), "")
    decoder.close()
    assert ended([first])
    with pytest.raises(RuntimeError, match="closed"):
        decoder.decode_clip(film)


def test_stopping_early_frees_the_child(long_film: Path, decoder: OwnDecoder) -> None:
    for taken in (1, 2, 3):
        blocks = decoder.decode_blocks(long_film, block_seconds=2, size=SIZE)
        first = [numbers(next(blocks).frames) for _ in range(taken)]
        blocks.close()
        assert len(decoder.idle_pids) == 1 and first[0] == [1, 3]
    same(decode_clip(long_film, size=SIZE), decoder.decode_clip(long_film, size=SIZE))


def test_threads_share_a_decoder(
    film: Path, long_film: Path, decoder: OwnDecoder, tmp_path: Path
) -> None:
    expected = {path: decode_clip(path, size=SIZE) for path in (film, long_film)}
    paths = [film, long_film] * 8
    with ThreadPoolExecutor(3) as pool:
        for path, clip in zip(
            paths, pool.map(lambda p: decoder.decode_clip(p, size=SIZE), paths), strict=True
        ):
            same(expected[path], clip)
    assert 1 <= len(decoder.idle_pids) <= 3


def test_any_number_of_children_may_have_ended_while_they_waited(
    film: Path, decoder: OwnDecoder
) -> None:
    """As all of a pool do after two minutes without work; a pause is no failure."""
    expected = decode_clip(film, size=SIZE)
    blocks = [decoder.decode_blocks(film, size=SIZE) for _ in range(3)]
    for each in blocks:
        next(each)  # three files in hand at once take three children
    for each in blocks:
        assert not list(each)
    ended = decoder.idle_pids
    assert len(ended) == 3
    for pid in ended:
        os.kill(pid, signal.SIGKILL)
    same(expected, decoder.decode_clip(film, size=SIZE))
    assert len(decoder.idle_pids) == 1 and decoder.idle_pids[0] not in ended


def test_headers_are_those_of_this_process(
    film: Path, long_film: Path, decoder: OwnDecoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(film.parent)
    for path in (film, os.fsencode(long_film), film.name):
        assert decoder.probe(path) == probe(path)
    (child,) = decoder.idle_pids
    # The same child decodes before and after, without being sent its memory again.
    ours = decode_clip(film, size=SIZE)
    for _ in range(2):
        same(ours, decoder.decode_clip(film, size=SIZE))
        assert decoder.probe(film) == ours.info
    assert decoder.idle_pids == (child,)
    with pytest.raises(MediaError, match=r"media\.max_seconds"):
        decoder.probe(film, DecodeSettings(max_seconds=1))


@pytest.mark.slow
@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"kind": "info"},
        {"kind": "info", "info": {}},
        {"kind": "info", "info": "text"},
        {"kind": "end"},
        {"kind": ["block"]},
        {"kind": "info", "info": {"duration": "long"}},
        {"kind": "info", "info": {"width": None}},
    ],
)
def test_a_child_that_was_taken_over_and_lies_about_a_header(
    answer: dict, film: Path, decoder: OwnDecoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    true = dataclasses.asdict(probe(film))
    if isinstance(answer.get("info"), dict) and answer["info"]:
        answer = {**answer, "info": {**true, **answer["info"]}}
    receive = DecoderProcess.receive

    def lies(child: DecoderProcess, seconds: float) -> dict:
        told = receive(child, seconds)
        return told if told["kind"] == "begun" else answer

    monkeypatch.setattr(DecoderProcess, "receive", lies)
    with pytest.raises(MediaError, match="invalid reply"):
        decoder.probe(film)


DEEDS = {
    "aborts": "killed by signal 6 (SIGABRT)",
    "crashes": "killed by signal 11 (SIGSEGV)",
    "is_killed": "killed by signal 9 (SIGKILL), as the system does when memory runs out",
    "exits": "ended with exit code 3",
    "raises": "its decoder failed (RuntimeError: no such thing as a bug)",
    "hangs": "hung: {} took longer than 1 s",
    "spins": "hung: {} took longer than 1 s",
    "eats": "needed more than the limit of 300 MB of memory",
}


def poison_settings(words: str) -> DecodeSettings:
    """A short wait for what hangs; a slow machine needs longer for everything else."""
    return DecodeSettings(max_stall_seconds=1 if "hung" in words else 120, max_memory_mb=300)


@pytest.mark.slow
def test_a_poisonous_header_costs_its_file_alone(poisoned: Path, decoder: OwnDecoder) -> None:
    for kind, words in DEEDS.items():
        with pytest.raises(MediaError, match=f"{kind}.mp4") as caught:
            decoder.probe(poisoned / f"{kind}.mp4", poison_settings(words))
        assert words.format("its header") in caught.value.cause
        assert not decoder.idle_pids and not decoder_pids(), kind
        assert decoder.probe(poisoned / "good.mp4", DecodeSettings()).duration == 3.0


@pytest.mark.slow
def test_a_poisonous_film_costs_itself_alone(poisoned: Path, decoder: OwnDecoder) -> None:
    good = decoder.decode_clip(poisoned / "good.mp4", size=SIZE)
    for kind, words in DEEDS.items():
        path, settings = poisoned / f"{kind}.mp4", poison_settings(words)
        with pytest.raises(MediaError, match=f"{kind}.mp4") as caught:
            decoder.decode_clip(path, size=SIZE, settings=settings)
        assert words.format("the next block") in caught.value.cause
        assert not decoder.idle_pids and not decoder_pids(), kind  # nobody hangs on
        again = decoder.decode_clip(poisoned / "good.mp4", size=SIZE)
        assert again.frames.tobytes() == good.frames.tobytes(), kind


@pytest.mark.slow
def test_ninety_nine_of_a_hundred(poisoned: Path, decoder: OwnDecoder) -> None:
    """One that aborts and one that hangs, each among a hundred, on two threads."""
    settings = DecodeSettings(max_stall_seconds=10)

    def decode(name: str) -> str:
        try:
            return numbers(
                decoder.decode_clip(poisoned / name, size=SIZE, settings=settings).frames
            )
        except MediaError as error:
            return error.cause

    for kind in ("aborts", "hangs"):
        names = ["good.mp4"] * 100
        names[37] = f"{kind}.mp4"
        with ThreadPoolExecutor(2) as pool:
            results = list(pool.map(decode, names))
        assert results.count([12, 37, 62]) == 99
        assert "SIGABRT" in results[37] or "hung" in results[37]


@pytest.mark.slow
@pytest.mark.parametrize("deed", [signal.SIGKILL, signal.SIGSEGV, signal.SIGSTOP])
def test_a_child_lost_in_the_middle_of_a_film(
    deed: signal.Signals, long_film: Path, decoder: OwnDecoder
) -> None:
    blocks = decoder.decode_blocks(
        long_film, block_seconds=1, size=SIZE, settings=DecodeSettings(max_stall_seconds=1)
    )
    assert numbers(next(blocks).frames) == [1]
    (child,) = decoder_pids()
    os.kill(child, deed)
    with pytest.raises(MediaError, match="hung" if deed == signal.SIGSTOP else deed.name):
        list(blocks)
    assert ended([child]) and not decoder.idle_pids
    assert decoder.decode_clip(long_film, size=SIZE).seconds == 23


def test_sigterm_to_every_process_costs_no_film(long_film: Path, decoder: OwnDecoder) -> None:
    """What the parent makes of it is the parent's business."""
    blocks = decoder.decode_blocks(long_film, block_seconds=1, size=SIZE)
    next(blocks)
    (child,) = decoder_pids()
    os.kill(child, signal.SIGTERM)
    assert len(list(blocks)) == 22 and decoder.idle_pids == (child,)


def test_a_child_that_is_lost_between_two_films_costs_none(film: Path, decoder: OwnDecoder) -> None:
    decoder.decode_clip(film, size=SIZE)
    (child,) = decoder.idle_pids
    os.kill(child, signal.SIGKILL)
    assert ended([child])
    assert decoder.decode_clip(film, size=SIZE).valid.all()
    assert decoder.idle_pids != (child,)


@pytest.mark.slow
def test_waiting_for_the_caller_is_no_work(long_film: Path, decoder: OwnDecoder) -> None:
    settings = DecodeSettings(max_wall_seconds=1.5, max_stall_seconds=1)
    seconds = 0
    for block in decoder.decode_blocks(long_film, block_seconds=8, size=SIZE, settings=settings):
        seconds += block.seconds
        time.sleep(1.2)
    assert seconds == 23


def test_the_clock_runs_while_the_child_works(long_film: Path, decoder: OwnDecoder) -> None:
    settings = DecodeSettings(max_wall_seconds=0.001)
    with pytest.raises(MediaError, match=r"longer than 0\.001 s.*media\.max_wall_seconds"):
        list(decoder.decode_blocks(long_film, size=(224, 224), settings=settings))


def test_children_that_cannot_start(
    film: Path, decoder: OwnDecoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(RuntimeError, match=r"No decoder process.*media\.isolated"):
        decoder.decode_clip(film)


@pytest.mark.slow
def test_nothing_is_left_behind(film: Path, long_film: Path) -> None:
    """Descriptors, shared memory and processes, after children that ended well and badly."""
    gc.collect()  # errors that earlier tests have caught may still hold descriptors
    before = len(os.listdir("/proc/self/fd"))
    named = shared_memory()
    for _ in range(2):
        with OwnDecoder() as decoder:
            decoder.decode_clip(film, size=SIZE)
            blocks = decoder.decode_blocks(long_film, block_seconds=1, size=SIZE)
            next(blocks)
            os.kill(decoder_pids()[0], signal.SIGKILL)
            with pytest.raises(MediaError):
                list(blocks)
            decoder.decode_clip(film, size=(8, 8))
            next(decoder.decode_blocks(long_film, block_seconds=1, size=SIZE))  # and dropped
    assert len(os.listdir("/proc/self/fd")) == before
    assert shared_memory() == named
    assert not decoder_pids()


PARENT = """
import sys, time
from tests.video.in_process import OwnDecoder
decoder = OwnDecoder()
blocks = decoder.decode_blocks(sys.argv[1], block_seconds=1, size=(8, 8))
next(blocks)
decoder.decode_clip(sys.argv[1], size=(8, 8))  # one child at work, one idle
print("ready", flush=True)
time.sleep(60)
"""


@pytest.mark.slow
@pytest.mark.parametrize("deed", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_children_end_with_their_parent(deed: signal.Signals, long_film: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, str(long_film)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(HOME)},
        start_new_session=True,
        text=True,
    ) as parent:
        assert parent.stdout.readline() == "ready\n"
        children = decoder_pids(parent.pid)
        assert len(children) == 2
        os.killpg(parent.pid, deed)  # as the terminal does on Ctrl-C
        assert ended(children)
        said = parent.communicate()[1]
    # Python's own words about Ctrl-C come from the parent alone; no child and no tracker speaks.
    assert said.count("Traceback") == (deed == signal.SIGINT)
    assert "resource_tracker" not in said and "decode_worker" not in said


@pytest.mark.slow
def test_a_hanging_child_ends_with_its_parent(poisoned: Path) -> None:
    script = PARENT.replace(
        "next(blocks)",
        "import threading; threading.Thread("
        "target=next, args=(blocks,), daemon=True).start(); time.sleep(2)",
    )
    script = script.replace("decoder.decode_clip(sys.argv[1], size=(8, 8))", "pass")
    environment = {**os.environ, "PYTHONPATH": f"{os.environ['PYTHONPATH']}:{HOME}"}
    for kind in ("hangs", "spins"):
        with subprocess.Popen(
            [sys.executable, "-c", script, str(poisoned / f"{kind}.mp4")],
            stdout=subprocess.PIPE,
            env=environment,
            text=True,
        ) as parent:
            assert parent.stdout.readline() == "ready\n"
            children = decoder_pids(parent.pid)
            assert len(children) == 1
            parent.kill()
            assert ended(children)


def test_a_fork_does_not_touch_the_children_of_its_parent(film: Path, decoder: OwnDecoder) -> None:
    decoder.decode_clip(film, size=SIZE)
    idle = decoder.idle_pids
    if threading.active_count() > 1:
        pytest.skip("this process has threads, which a fork does not survive")
    pid = os.fork()
    if not pid:
        clip = decoder.decode_clip(film, size=SIZE)
        os._exit(0 if clip.valid.all() and decoder.idle_pids != idle else 1)
    assert os.waitpid(pid, 0)[1] == 0
    assert decoder.decode_clip(film, size=SIZE).valid.all() and decoder.idle_pids == idle
