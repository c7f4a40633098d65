"""Files that are written whole or not at all, and locks between processes."""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO


@contextmanager
def exclusive_lock(path: Path) -> Iterator[None]:
    """Waits until no other process holds the lock, and holds it within.

    Args:
        path: A file, made where it is missing; its folder must exist.
    """
    with open(path, "ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            # Closing is not enough: a process that was forked meanwhile shares the open file, and
            # would keep the lock for as long as it lives.
            fcntl.flock(file, fcntl.LOCK_UN)


@contextmanager
def atomic_text(path: Path) -> Iterator[TextIO]:
    """Open a text file that takes its name when all of it is on the disk.

    The text goes to a temporary file in the same folder, which is flushed to the disk and then
    renamed. Whoever is killed in the middle leaves the old file, or none, but never half of one.

    Args:
        path: Where the file shall stand; its folder is made when it is missing.

    Yields:
        The open file: UTF-8, line ends written as they are given.

    Raises:
        OSError: If the folder cannot be written.

    Example:
        >>> with atomic_text(Path("labels.txt")) as file:
        ...     file.write("Bark\\n")
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=".writing-", dir=path.parent)
    try:
        with open(handle, "w", encoding="utf-8", newline="") as file:
            # mkstemp keeps the file to its owner; what is written here is meant to be read.
            os.fchmod(file.fileno(), 0o666 & ~_umask())
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    # The new name itself is on the disk only when its folder is.
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _umask() -> int:
    # The only way to read it is to set it; Linux also tells it in /proc, without the moment in
    # which another thread would create files with the wrong one.
    with contextlib.suppress(OSError), open("/proc/self/status", encoding="ascii") as status:
        for line in status:
            if line.startswith("Umask:"):
                return int(line.split()[1], 8)
    return 0o022
