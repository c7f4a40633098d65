"""The answer for a file is a function of that file, on every processor."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from avel_tf.engines.available import computes_in_bfloat16
from tests.video.films import write_film

ROOT = Path(__file__).resolve().parents[2]
# What TensorFlow and OpenVINO read when a process starts. The last but one is how TensorFlow
# computes on AVX2 without oneDNN: there, a row's last bits depend on its place in the batch.
PROCESSORS = {
    "as it is": {},
    "oneDNN for AVX2": {"ONEDNN_MAX_CPU_ISA": "AVX2"},
    "AVX2 without oneDNN": {"ONEDNN_MAX_CPU_ISA": "AVX2", "TF_ENABLE_ONEDNN_OPTS": "0"},
    "oneDNN for SSE4.1": {"ONEDNN_MAX_CPU_ISA": "SSE41"},
}
# Shorter than a batch, a batch, longer than a window, longer than a block.
SECONDS = (3, 10, 7, 13)


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


def arrangements(model, films, tmp_path, engine, precision, switches) -> dict[str, dict[str, str]]:
    run = subprocess.run(
        [sys.executable, "-m", "tests.engines.arrangements", model, engine, precision, *films],
        cwd=ROOT,
        env={**os.environ, "XDG_CACHE_HOME": str(tmp_path), **switches},
        capture_output=True,
        text=True,
    )
    if "OpenVINO failed" in run.stderr and switches.get("ONEDNN_MAX_CPU_ISA") == "SSE41":
        # OpenVINO 2026.4 on an AMD EPYC with AVX2 ("bad combination"); one with AVX-512 compiles.
        pytest.skip("OpenVINO does not compile this network for SSE4.1 on this processor")
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout.splitlines()[-1])


@pytest.mark.parametrize(
    ("engine", "precision", "processor"),
    [
        ("tensorflow", "float32", "AVX2 without oneDNN"),
        *(
            pytest.param(engine, precision, processor, marks=pytest.mark.slow)
            for processor in PROCESSORS
            for engine in ("tensorflow", "openvino")
            for precision in ("float32", "bfloat16")
            if (engine, precision, processor) != ("tensorflow", "float32", "AVX2 without oneDNN")
        ),
    ],
)
def test_company_changes_no_bit(
    exported, films, tmp_path, monkeypatch, engine, precision, processor
):
    """Files alone, together, in another order, side by side and without some of them."""
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", PROCESSORS[processor].get("ONEDNN_MAX_CPU_ISA", ""))
    if precision == "bfloat16" and not computes_in_bfloat16():
        pytest.skip("there is no bfloat16 on this processor, or it is switched off")
    found = arrangements(exported, films, tmp_path, engine, precision, PROCESSORS[processor])
    for arrangement, digests in found.items():
        assert len(digests) == (2 if arrangement == "some of them" else len(films))
        for path, digest in digests.items():
            assert digest == found["alone"][path], (arrangement, path)
