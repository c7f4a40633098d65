"""Temporary folders of processes, some of which are killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from avel_tf.utils.process_folder import ProcessFolder

OWNER = """
import sys
from avel_tf.utils.process_folder import ProcessFolder
folder = ProcessFolder("avel-test-", sys.argv[1])
(folder.path / "model").write_text("large")
print(folder.path, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def owner(tmp_path):
    """A process with a folder in `tmp_path`, which ends when its input does."""
    process = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    process.folder = Path(process.stdout.readline().strip())
    yield process
    process.kill()
    process.communicate()


def test_the_folder_of_a_killed_process_is_removed_by_the_next(owner, tmp_path):
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    assert owner.folder.is_dir()
    folder = ProcessFolder("avel-test-", tmp_path)
    assert list(tmp_path.iterdir()) == [folder.path]


def test_the_folder_of_a_running_process_stays(owner, tmp_path):
    ProcessFolder("avel-test-", tmp_path).close()
    assert (owner.folder / "model").read_text() == "large"
    owner.communicate("")
    assert not owner.folder.exists()


def test_other_prefixes_and_links_stay(tmp_path):
    other = tmp_path / "avel-other-1"
    other.mkdir()
    (tmp_path / "avel-test-link").symlink_to(other)
    folder = ProcessFolder("avel-test-", tmp_path)
    folder.close()
    folder.close()
    assert not folder.path.exists()
    assert {path.name for path in tmp_path.iterdir()} == {"avel-other-1", "avel-test-link"}


def test_a_forked_process_leaves_the_folder_to_its_parent(tmp_path):
    folder = ProcessFolder("avel-test-", tmp_path)
    child = os.fork()
    if not child:
        folder.close()
        os._exit(0)
    os.waitpid(child, 0)
    assert folder.path.is_dir()
    folder.close()
