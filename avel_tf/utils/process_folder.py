"""Temporary folder that does not outlive its process for long, however the process ends."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
import weakref
from pathlib import Path


class ProcessFolder:
    """Temporary folder that is removed with this object, or later if its process is killed.

    A process that is killed cannot remove its folders. It holds a lock on each, which the system
    releases, and every new folder first removes those of the same prefix whose lock is free.

    Args:
        prefix: Begin of the folder's name; those of one prefix are removed together.
        parent: Folder in which it is created; that of the system for temporary files if None.

    Attributes:
        path: The folder.

    Example:
        >>> folder = ProcessFolder("avel-worker-")
        >>> (folder.path / "model").mkdir()
        >>> folder.close()
    """

    def __init__(self, prefix: str, parent: str | os.PathLike[str] | None = None) -> None:
        parent = Path(parent or tempfile.gettempdir())
        for path in parent.glob(f"{prefix}*"):
            _remove_if_abandoned(path)
        # It has another name until it is locked, so that no other process takes it as abandoned.
        new = Path(tempfile.mkdtemp(prefix=f".new-{prefix}", dir=parent))
        lock = os.open(new, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        fcntl.flock(lock, fcntl.LOCK_EX)
        self.path = parent / new.name.removeprefix(".new-")
        os.rename(new, self.path)
        self._finalizer = weakref.finalize(self, _remove, self.path, lock, os.getpid())

    def close(self) -> None:
        """Remove the folder; a second call does nothing."""
        self._finalizer()


def _remove(path: Path, lock: int, owner: int) -> None:
    if os.getpid() == owner:  # not in a forked process
        shutil.rmtree(path, ignore_errors=True)
        os.close(lock)


def _remove_if_abandoned(path: Path) -> None:
    # Another user's folder cannot be opened, and another process may remove the same one.
    with contextlib.suppress(OSError):
        lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(path, ignore_errors=True)
        finally:
            os.close(lock)
