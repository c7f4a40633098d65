"""`make bench` runs, and what it writes can be read by others."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
NUMBERS = ("median", "wall_s", "cpu_s", "memory_mb", "children_mb")


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """A scratch folder in which tiny clips stand for those of 360p and 720p."""
    from avel_tf.media.synthesis import SynthesisSettings, make_dataset

    scratch = tmp_path_factory.mktemp("scratch")
    tiny = SynthesisSettings(seconds=10, width=64, height=48, frame_rate=16.0)
    for height in (360, 720):
        folder = scratch / "clips" / f"{height}p"
        make_dataset(folder, train=1, validation=0, test=0, settings=tiny, workers=1)
    return scratch


def bench(scratch: Path, *words: str) -> subprocess.CompletedProcess:
    command = [sys.executable, str(ROOT / "benchmarks" / "run.py"), "--quick", *words]
    command += ["--scratch", str(scratch), "--out", str(scratch / "out")]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


@pytest.mark.slow
def test_a_quick_run_writes_json_and_a_table(clips):
    done = bench(clips, "--only", "decode,matmul")
    assert done.returncode == 0, done.stderr[-2000:]
    results = json.loads((clips / "out" / "results.json").read_text())
    assert results["machine"]["cores"] >= 1
    decode = results["contests"]["decode, 360p, 16 frames/s"]
    assert set(decode) == {"avel-tf, isolated", "avel-tf, in this process", "PyAV", "OpenCV"}
    for row in decode.values():
        assert all(row[key] >= 0 for key in NUMBERS), row
        assert len(row["rates"]) == results["rounds"] == 1
    assert decode["avel-tf, isolated"]["children_mb"] > 0
    assert decode["PyAV"]["children_mb"] == 0
    table = (clips / "out" / "results.md").read_text()
    assert all(f"\n## {name}\n" in table for name in results["contests"])


@pytest.mark.slow
def test_what_is_not_installed_is_a_row_that_says_so(clips, tmp_path):
    bare = tmp_path / "bin" / "python"  # an environment without a package in it
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path)], check=True)
    done = bench(clips, "--only", "matmul", "--peer-python", str(bare))
    assert done.returncode == 0, done.stderr[-2000:]
    rows = json.loads((clips / "out" / "results.json").read_text())["contests"]["matmul"]
    assert rows["torch float32"]["absent"] == "torch is not installed"
    assert rows["tensorflow float32"]["median"] > 0


def test_a_kind_that_there_is_not_is_refused(tmp_path):
    done = bench(tmp_path, "--only", "decod")
    assert done.returncode == 2
    assert "decode" in done.stderr
