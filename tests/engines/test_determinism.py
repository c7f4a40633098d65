"""The answer for a file is a function of that file, on every processor."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from avel_tf.engines.available import EngineChoice, computes_in_bfloat16
from tests.engines.arrangements import arrangements
from tests.video.films import write_film

ROOT = Path(__file__).resolve().parents[2]
# What TensorFlow and OpenVINO read when a process starts, and the engines that heed it. In the
# second, as TensorFlow computes on AVX2 without oneDNN, a row's last bits depend on its place in
# the batch.
AVX2 = {"ONEDNN_MAX_CPU_ISA": "AVX2"}
PROCESSORS = {
    "oneDNN for AVX2": (AVX2, ("tensorflow", "openvino")),
    "AVX2 without oneDNN": ({**AVX2, "TF_ENABLE_ONEDNN_OPTS": "0"}, ("tensorflow",)),
    "oneDNN for SSE4.1": ({"ONEDNN_MAX_CPU_ISA": "SSE41"}, ("tensorflow", "openvino")),
}
# Shorter than a batch and a window, a batch, longer than a block.
SECONDS = (3, 10, 13)


@pytest.fixture(scope="module")
def films(tmp_path_factory) -> list[str]:
    folder = tmp_path_factory.mktemp("films")
    rng = np.random.default_rng(0)
    paths = []
    for number, seconds in enumerate(SECONDS):
        shape = (4 * seconds, 64, 96, 3)
        pictures = rng.integers(0, 256, shape, np.uint8)
        if number % 2:
            pictures[5:25] = 128  # a still, whose frames are embedded once
        write_film(
            folder / f"{number}.mp4",
            seconds=seconds,
            rate=4,
            pictures=list(pictures),
            sound=rng.uniform(-0.3, 0.3, seconds * 48_000).astype("float32"),
        )
        paths.append(str(folder / f"{number}.mp4"))
    return paths


def assert_alike(found: dict[str, dict[str, str]], films: list[str]) -> None:
    """Files alone, together, side by side in another order, and without some of them."""
    for arrangement, digests in found.items():
        assert len(digests) == (2 if arrangement == "some of them" else len(films))
        for path, digest in digests.items():
            assert digest == found["alone"][path], (arrangement, path)


@pytest.mark.parametrize(
    ("engine", "precision"),
    [
        ("tensorflow", "float32"),
        pytest.param("openvino", "float32", marks=pytest.mark.slow),
        pytest.param("tensorflow", "bfloat16", marks=pytest.mark.slow),
        pytest.param("openvino", "bfloat16", marks=pytest.mark.slow),
    ],
)
def test_company_changes_no_bit(exported, films, engine, precision):
    if precision == "bfloat16" and not computes_in_bfloat16():
        pytest.skip("there is no bfloat16 on this processor, or it is switched off")
    assert_alike(arrangements(exported, EngineChoice(engine, precision), films), films)


@pytest.mark.slow
@pytest.mark.parametrize("processor", PROCESSORS)
def test_company_changes_no_bit_on_older_processors(exported, films, tmp_path, processor):
    switches, engines = PROCESSORS[processor]
    if processor == "oneDNN for AVX2" and not has_more_than_avx2():
        pytest.skip("this processor has no instructions beyond AVX2")
    choices = [f"{engine} float32" for engine in engines]
    run = subprocess.run(
        [sys.executable, "-m", "tests.engines.arrangements", exported, ",".join(choices), *films],
        cwd=ROOT,
        env={**os.environ, "XDG_CACHE_HOME": str(tmp_path), **switches},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout.splitlines()[-1])
    # OpenVINO 2026.4 does not compile the compact backbones for SSE4.1 on an AMD EPYC with AVX2
    # ("bad combination"); on one with AVX-512 it does.
    assert set(choices) - set(found) <= ({"openvino float32"} if "SSE" in processor else set())
    for of_engine in found.values():
        assert_alike(of_engine, films)


def has_more_than_avx2() -> bool:
    return "avx512f" in Path("/proc/cpuinfo").read_text().split()
