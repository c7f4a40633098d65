from __future__ import annotations

import os
from pathlib import Path

import pytest

from avel_tf.utils.durable_files import (
    JournalFile,
    RunLock,
    atomic_path,
    atomic_text,
    exclusive_lock,
    write_atomically,
)


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "state"
    write_atomically(path, b"old")

    def fail(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="no space"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    monkeypatch.undo()
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new" and [p.name for p in tmp_path.iterdir()] == ["state"]


def test_a_sole_writer_replaces_what_a_killed_one_left(tmp_path):
    path = tmp_path / "model.keras"
    (tmp_path / ".writing-model.keras").write_bytes(b"incomplete")
    with atomic_path(path, sole_writer=True) as temporary:
        assert temporary.suffix == ".keras"
        temporary.write_bytes(b"complete")
    assert path.read_bytes() == b"complete" and list(tmp_path.iterdir()) == [path]


def test_two_writers_of_a_file_do_not_share_a_temporary_file(tmp_path):
    path = tmp_path / "file"
    with atomic_text(path) as first, atomic_text(path) as second:
        first.write("first")
        second.write("second")
    assert path.read_text() == "first"


@pytest.mark.parametrize("kind", ["exclusive", "run"])
def test_a_forked_process_does_not_keep_a_lock(tmp_path, kind):
    path = tmp_path / "lock"
    wait, go = os.pipe()

    def fork() -> int:
        process = os.fork()
        if process == 0:
            os.close(go)
            os.read(wait, 1)
            os._exit(0)
        return process

    try:
        if kind == "exclusive":
            with exclusive_lock(path):
                process = fork()
        else:
            lock = RunLock(path)
            process = fork()
            lock.release()
        RunLock(path).release()  # raises where the lock is still held
    finally:
        os.close(go)
        os.waitpid(process, 0)


def test_a_run_lock_records_how_the_last_run_ended(tmp_path):
    path = tmp_path / "lock"
    for before, state in (("", "open"), ("open", "shut"), ("shut", "open")):
        lock = RunLock(path)
        assert lock.last_state == before
        lock.mark(state)
        with pytest.raises(BlockingIOError, match=str(os.getpid())):
            RunLock(path)
        lock.release()
    assert path.stat().st_size == 16


def test_a_lock_of_the_version_before_is_read(tmp_path):
    (tmp_path / "lock").write_bytes(b"open")
    lock = RunLock(tmp_path / "lock")
    assert lock.last_state == "open"
    lock.release()


def test_an_incomplete_last_line_is_removed(tmp_path):
    path = tmp_path / "journal.jsonl"
    path.write_bytes(b'{"a": 1}\n{"b"')
    journal = JournalFile(path)
    assert list(journal.lines()) == [(0, b'{"a": 1}\n')]
    assert journal.append({"c": 2}) == 9
    journal.close()
    assert path.read_bytes() == b'{"a": 1}\n{"c": 2}\n'


def test_a_line_is_written_completely_or_not_at_all(tmp_path: Path, monkeypatch):
    journal, write = JournalFile(tmp_path / "journal.jsonl"), os.write
    journal.append({"a": 1})
    monkeypatch.setattr(os, "write", lambda file, data: write(file, data[:3]))
    with pytest.raises(OSError, match=r"No space left.*journal\.jsonl"):
        journal.append({"b": 2})
    monkeypatch.undo()
    journal.append({"c": 3})
    journal.close()
    assert (tmp_path / "journal.jsonl").read_bytes() == b'{"a": 1}\n{"c": 3}\n'
