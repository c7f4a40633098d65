"""Atomic file writes, locks between processes, and an append-only journal file."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, TextIO

# Prefix of the temporary file of an atomic write.
WRITING = ".writing-"

_FLAGS = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW


@contextmanager
def atomic_path(path: Path, *, sole_writer: bool = False) -> Iterator[Path]:
    """Temporary path for a file that is renamed to `path` when the block ends.

    The temporary file is in the same folder. It is flushed to the disk before it is renamed, so a
    process that is killed leaves the former file or none, never an incomplete one. After an
    exception the temporary file is removed.

    Args:
        path: The file to write. Its folder is created where it is missing.
        sole_writer: No other process writes the file at the same time. The temporary file then has
            a fixed name that ends as `path` does, and replaces the one of a killed process.

    Yields:
        Path at which the block creates the file.

    Raises:
        OSError: The folder cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(WRITING + (path.name if sole_writer else secrets.token_hex(4)))
    try:
        yield temporary
        publish(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def publish(temporary: Path, path: Path) -> None:
    """Flush a finished file to the disk and rename it to `path` on the same file system."""
    sync(temporary)
    os.replace(temporary, path)
    sync(path.parent)  # the folder holds the new name


def sync(path: Path) -> None:
    """Flush a file or a folder to the disk."""
    opened = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


@contextmanager
def atomic_text(path: Path) -> Iterator[TextIO]:
    """Text file that is written as a whole or not at all; see `atomic_path`.

    Yields:
        The open file in UTF-8. Line ends are written as given.

    Example:
        >>> with atomic_text(Path("labels.txt")) as file:
        ...     file.write("Bark\\n")
    """
    with (
        atomic_path(path) as temporary,
        open(temporary, "x", encoding="utf-8", newline="") as file,
    ):
        yield file


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file of which this process is the only writer, as a whole or not at all."""
    with atomic_path(path, sole_writer=True) as temporary:
        temporary.write_bytes(content)


@contextmanager
def exclusive_lock(path: Path) -> Iterator[None]:
    """Lock between processes that waits until no other process holds it.

    Args:
        path: The lock's file, created where it is missing. Its folder must exist.
    """
    with open(path, "ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            # A process that was forked meanwhile shares the open file. Closing it here would leave
            # the lock to that process.
            fcntl.flock(file, fcntl.LOCK_UN)


class RunLock:
    """Lock that one run at a time holds, with a record of how the last run ended.

    The file holds `open` or `shut` and the process number. Its length never changes, so that the
    state can be written on a full disk.

    Args:
        path: The lock's file, created where it is missing. Its folder must exist.

    Attributes:
        last_state: `open` when the last run was killed, `shut` when it ended in order, and an
            empty string when there was none.

    Raises:
        BlockingIOError: Another process holds the lock. Its number is the message, where known.
        OSError: The file cannot be written or locked.
    """

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, _FLAGS, 0o666)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # The last holder may have removed the folder between the two calls.
            if not os.path.samestat(os.fstat(self._file), os.stat(path)):
                raise BlockingIOError
        except (BlockingIOError, FileNotFoundError):
            holder = os.pread(self._file, 64, 0).decode("ascii", "replace").split()
            os.close(self._file)
            raise BlockingIOError(holder[1] if len(holder) == 2 else "") from None
        except BaseException:
            os.close(self._file)
            raise
        self.last_state = os.pread(self._file, 4, 0).decode("ascii", "replace")

    def mark(self, state: Literal["open", "shut"]) -> None:
        """Write the state of this run: `open` at its begin, `shut` at an orderly end."""
        os.pwrite(self._file, f"{state} {os.getpid():10d}\n".encode(), 0)

    def sync(self) -> None:
        """Flush the state to the disk."""
        os.fsync(self._file)

    def release(self) -> None:
        """Release the lock, also where a forked process shares the open file."""
        fcntl.flock(self._file, fcntl.LOCK_UN)
        os.close(self._file)


class JournalFile:
    """Append-only file of JSON records, one per line.

    A line is written completely or not at all. The incomplete last line of a killed process is
    removed by `lines`, which must be read to its end before the first `append`.
    Calls from several threads need a lock of their own.

    Args:
        path: The file, created where it is missing. Its folder must exist.
        sync_seconds: Least time between two flushes to the disk; None leaves them to the system.
            `kill -9` loses nothing that was written, a power cut what was not flushed.
    """

    def __init__(self, path: Path, *, sync_seconds: float | None = None) -> None:
        self._path = path
        self._sync_seconds = sync_seconds
        self._synced = time.monotonic()
        self._end = 0
        self._file = os.open(path, _FLAGS | os.O_APPEND, 0o666)

    def lines(self) -> Iterator[tuple[int, bytes]]:
        """Offset in bytes and text of each complete line."""
        self._end = 0
        with open(self._path, "rb") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    os.ftruncate(self._file, self._end)
                    return
                yield self._end, line
                self._end += len(line)

    def append(self, record: dict[str, Any]) -> int:
        """Write a record.

        Returns:
            Offset of its line in bytes.

        Raises:
            OSError: The record cannot be written; the file is unchanged.
        """
        line = json.dumps(record, ensure_ascii=True, allow_nan=False).encode() + b"\n"
        begin = self._end
        try:
            if os.write(self._file, line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            os.ftruncate(self._file, begin)
            raise OSError(error.errno, error.strerror, os.fspath(self._path)) from error
        self._end += len(line)
        if self._sync_seconds is not None:
            now = time.monotonic()
            if now - self._synced > self._sync_seconds:
                os.fdatasync(self._file)
                self._synced = now
        return begin

    def clear(self) -> None:
        """Remove all records."""
        os.ftruncate(self._file, 0)
        self._end = 0

    def sync(self) -> None:
        """Flush the records to the disk."""
        os.fsync(self._file)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)
