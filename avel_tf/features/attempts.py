"""Which files were in hand when an extraction died, and what that says about them."""

from __future__ import annotations

import errno
import json
import os
import threading
from collections import Counter
from pathlib import Path

ATTEMPTS = "attempts.jsonl"


class Attempts:
    """An append-only log: a line before a file is touched, a line when its features are there.

    A process that is killed leaves attempts without an end. Each of those files may be what killed
    it: `died_together` counts how often that was so while other files were in hand as well,
    `died_alone` how often while it was the only one. A last line that was torn is cut off.

    Args:
        folder: Where the log lies.
        died: Whether the process that wrote to it last came to no orderly end.

    Attributes:
        failure: Why an attempt could not be written; the thread that meets this may not be the one
            that can report it.

    Raises:
        OSError: The log cannot be read or written.

    Example:
        >>> attempts = Attempts(Path(".features.resume"), died=False)
        >>> attempts.begin("train/17")
        >>> attempts.end("train/17")
        >>> attempts.close()
    """

    def __init__(self, folder: Path, *, died: bool) -> None:
        self.died_together: Counter[str] = Counter()
        self.died_alone: Counter[str] = Counter()
        self.failure: OSError | None = None
        self._in_hand: dict[str, bool] = {}  # and whether alone
        self._lock = threading.Lock()  # attempts come from the decoding threads
        self._closed = False
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        self._file = os.open(folder / ATTEMPTS, flags, 0o666)
        try:
            self._read()
            self._settle(died)
            self._write({"died": died})
        except BaseException:
            os.close(self._file)
            raise

    def begin(self, name: str, *, alone: bool = False) -> None:
        """Note that a file is about to be touched; any thread may call it.

        Args:
            name: Names the file, in this run and in those to come.
            alone: Whether no other file is in hand until it has ended.

        Raises:
            OSError: It cannot be written, so the file must not be touched.
            ValueError: The log is closed.
        """
        with self._lock:
            if self._closed:
                # A decoding thread that outlives a run which was stopped: its file stays untouched.
                raise ValueError("The extraction has ended.")
            try:
                self._write({"begin": name, "alone": alone})
            except OSError as error:
                self.failure = error
                raise

    def end(self, name: str) -> None:
        """Note that a file has been dealt with.

        Raises:
            OSError: It cannot be written.
        """
        with self._lock:
            self._write({"end": name})

    def close(self) -> None:
        """Write no more."""
        with self._lock:
            if not self._closed:
                self._closed = True
                os.close(self._file)

    def _write(self, record: dict[str, str | bool]) -> None:
        """One line in one piece, or nothing."""
        line = json.dumps(record).encode() + b"\n"
        end = os.fstat(self._file).st_size
        if os.write(self._file, line) != len(line):
            os.ftruncate(self._file, end)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), ATTEMPTS)

    def _read(self) -> None:
        with open(self._file, "rb", closefd=False) as log:
            for line in log:
                if not line.endswith(b"\n"):
                    os.ftruncate(self._file, log.tell() - len(line))
                    break
                try:
                    record = json.loads(line)
                    if "begin" in record:
                        self._in_hand[record["begin"]] = bool(record["alone"])
                    elif "end" in record:
                        self._in_hand.pop(record["end"], None)
                    else:
                        self._settle(record["died"])
                except (ValueError, TypeError, KeyError):
                    continue  # a power cut can leave such a line

    def _settle(self, died: bool) -> None:
        """A run's end: what it had in hand is suspect if it died."""
        for name, alone in self._in_hand.items():
            if died:
                (self.died_alone if alone else self.died_together)[name] += 1
        self._in_hand.clear()
