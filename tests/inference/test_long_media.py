"""Memory that does not grow with the length of a film."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import pytest

from avel_tf.events.result import read_results
from tests.video.films import tone, write_film

ROOT = Path(__file__).resolve().parents[2]
MINUTES = 1
# `VmHWM` of proc(5) and not `ru_maxrss`, which a child inherits from the parent that it left.
SCRIPT = """
import glob, json, os, sys, threading, time
from avel_tf.cli.main import main

def peak(pid):
    with open(f"/proc/{pid}/status") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))

peaks = {}

def watch():
    while True:
        for path in glob.glob(f"/proc/{os.getpid()}/task/*/children"):
            try:
                with open(path) as children:
                    for pid in children.read().split():
                        with open(f"/proc/{pid}/cmdline", "rb") as command:
                            if b"-m\\0avel_tf.video.isolated.worker" in command.read():
                                peaks[pid] = max(peaks.get(pid, 0), peak(pid))
            except (OSError, StopIteration):
                pass  # it has ended
        time.sleep(0.1)

threading.Thread(target=watch, daemon=True).start()
code = main(sys.argv[1:])
print(json.dumps([code, peak("self"), sum(peaks.values())]))
"""


@pytest.fixture(scope="module")
def short(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("long") / "short.mp4"
    seconds = MINUTES * 60
    return write_film(path, seconds=seconds, rate=4, sound=tone(seconds, 16_000), sound_rate=16_000)


def repeated(film: Path, times: int) -> Path:
    """A film several times in a row, packet by packet."""
    path, length = film.with_name("long.mp4"), MINUTES * 60
    with av.open(str(path), "w") as long:
        tracks: dict[int, av.stream.Stream] = {}
        for turn in range(times):
            with av.open(str(film)) as once:
                for stream in once.streams:
                    if stream.index not in tracks:
                        tracks[stream.index] = long.add_stream_from_template(stream)
                for packet in once.demux():
                    if packet.dts is None or packet.dts < 0:
                        continue
                    if (packet.pts + packet.duration) * packet.time_base > length:
                        continue
                    later = int(Fraction(turn * length) / packet.time_base)
                    packet.pts, packet.dts = packet.pts + later, packet.dts + later
                    packet.stream = tracks[packet.stream.index]
                    long.mux(packet)
    return path


def peaks(film: Path, model: Path, out: Path) -> tuple[int, int]:
    """Most memory in KiB of `avel infer` and of its decoder."""
    words = ["infer", str(film), "--model", str(model), "--out", str(out), "--formats", "jsonl"]
    # TensorFlow alone takes a gigabyte, by a tenth more or less from run to run.
    words += ["--engine", "openvino", "--set", "engine.precision=float32"]
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT, *words],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=600,
        check=True,
    )
    code, parent, child = json.loads(ended.stdout.splitlines()[-1])
    assert code == 0
    return parent, child


@pytest.mark.slow
def test_a_film_six_times_as_long_takes_no_more_memory(short, clips, exported, tmp_path):
    long = repeated(short, 6)
    clip = next(clips.glob("videos/**/*.mp4"))
    peaks(clip, exported, tmp_path / "first")  # compiles the networks, with TensorFlow
    short_parent, short_child = peaks(short, exported, tmp_path / "short")
    long_parent, long_child = peaks(long, exported, tmp_path / "long")
    (result,) = read_results(tmp_path / "long" / "results.jsonl")
    assert len(result.seconds) == 6 * MINUTES * 60
    assert long_parent < 1.1 * short_parent and long_child < 1.1 * short_child
