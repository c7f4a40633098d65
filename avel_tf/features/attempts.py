"""Journal of the files in progress, to find those that crash an extraction."""

from __future__ import annotations

import json
import threading
from collections import Counter
from pathlib import Path

from avel_tf.utils.durable_files import JournalFile

ATTEMPTS = "attempts.jsonl"


class Attempts:
    """Append-only journal with a line before each file is decoded and one after its features.

    A killed process leaves attempts without an end, and each of these files may have crashed it.
    `died_together` counts such attempts while other files were in progress, `died_alone` those of a
    file on its own. An incomplete last line is removed.

    Args:
        folder: Folder of the journal.
        died: The process that wrote to it last did not end in order.

    Attributes:
        failure: Error of an attempt that could not be written, kept for the main thread.

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
        self._file = JournalFile(folder / ATTEMPTS)
        try:
            self._read()
            self._settle(died)
            self._file.append({"died": died})
        except BaseException:
            self._file.close()
            raise

    def begin(self, name: str, *, alone: bool = False) -> None:
        """Record that a file is about to be decoded; any thread may call it.

        Args:
            name: Name of the file, the same in every run.
            alone: No other file is in progress until it has ended.

        Raises:
            OSError: It cannot be written, so the file must not be decoded.
            ValueError: The log is closed.
        """
        with self._lock:
            if self._closed:
                # A decoding thread that outlives a run which was stopped: its file stays untouched.
                raise ValueError("The extraction has ended.")
            try:
                self._file.append({"begin": name, "alone": alone})
            except OSError as error:
                self.failure = error
                raise

    def end(self, name: str) -> None:
        """Record that a file is finished.

        Raises:
            OSError: It cannot be written.
        """
        with self._lock:
            self._file.append({"end": name})

    def close(self) -> None:
        """Close the journal."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._file.close()

    def _read(self) -> None:
        for _, line in self._file.lines():
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
        """End of a run: its unfinished files are suspects if it died."""
        for name, alone in self._in_hand.items():
            if died:
                (self.died_alone if alone else self.died_together)[name] += 1
        self._in_hand.clear()
