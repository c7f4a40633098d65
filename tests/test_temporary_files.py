"""What a process that is killed leaves in the system's folder for temporary files."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.conftest import COMPACT_SETTINGS, TINY_TRAINING, as_set

# `os._exit` skips what a process does at its end, as a signal that kills it does.
KILLED = """
import json, os, sys
from avel_tf.cli.main import main
os._exit(any([main(words) for words in json.loads(sys.argv[1])]))
"""


@pytest.mark.slow
def test_killed_commands_leave_no_temporary_files(store, clips, exported, tmp_path):
    """TensorFlow's AutoGraph would write the functions that it rewrites there."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    train = ["train", str(store.folder), "--out", str(tmp_path / "run")]
    train += as_set(COMPACT_SETTINGS + TINY_TRAINING)
    infer = [
        "infer",
        str(clips / "videos" / "test"),
        "--out",
        str(tmp_path / "results"),
        "--model",
        str(exported),
    ]
    infer += as_set(COMPACT_SETTINGS[-2:])
    done = subprocess.run(
        [sys.executable, "-c", KILLED, json.dumps([train, infer])],
        env={**os.environ, "TMPDIR": str(folder)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert list(folder.iterdir()) == []
