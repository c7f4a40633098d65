"""Journal of attempts and results, from which an interrupted run resumes."""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import threading
from array import array
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from avel_tf.events.result import Result
from avel_tf.utils.durable_files import WRITING, JournalFile, RunLock, sync

logger = logging.getLogger(__name__)

SCHEMA = 1
LEDGER = "ledger.jsonl"
LOCK = "ledger.lock"
# What is written from the ledger in the end; without one, it may be a live stream's.
RESULTS = "results.jsonl"
TWICE = (
    "the run died twice while this file was in hand, the second time alone; it is left out so "
    "that the others can be done"
)

# kill -9 takes nothing that was written; a power cut takes what was not synced. A second of work
# is not worth a sync per file.
_SYNC_SECONDS = 1.0
_MAX_DEATHS = 2
# A write ends so when there is no room: disk, quota, or the size that a file may have.
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}

# Size and times of modification and of change in ns; None for a file that is not there.
Stamp = list[int] | None


class RunJournalError(ValueError):
    """A results folder in which this run cannot go on; the message says why."""


class RunJournal:
    """The append-only record of the runs that wrote to one results folder.

    A line before a file is touched, a line with its result after. Only one process at a time may
    hold the ledger of a folder. A file whose size or time has changed since is done again.

    A process that is killed leaves attempts without a result. Its lock file still says "open",
    so the next run knows that these files may be what killed it: each of them is tried once more,
    alone, and when the process dies again it is quarantined. A run that ends in order, by Ctrl-C
    or for want of room, writes "shut" over it, in place, which needs no room on the disk.

    Memory holds a few bytes for each input, and no results.

    Args:
        folder: The results folder; made when it is missing.
        inputs: The files of this run, as `os.fsdecode` gives their names.
        setup: What decides the bytes of a result: model and settings. A ledger that was begun
            with another is refused.
        model: What results call the model.
        fresh: Forget what the folder's ledger says.
        follow_links: Whether files are reached through links.

    Attributes:
        waiting: The inputs to do.
        suspects: The inputs to do one at a time, after the others: each was in hand when a process
            died.

    Raises:
        RunJournalError: Another process holds the ledger, it was begun with another setup, or the
            folder has results without a ledger: those of a live stream cannot be made again.
        OSError: The folder cannot be written.

    Example:
        >>> with RunJournal("RESULTS", inputs, setup={"model": "demo/1"}, model="demo/1") as ledger:
        ...     for path in ledger.waiting:
        ...         ledger.attempt(path)
        ...         ledger.record(localizer.localize(path))
        ...     write_formats(["jsonl"], ledger.results(), "RESULTS")
    """

    def __init__(
        self,
        folder: str | Path,
        inputs: Sequence[str],
        *,
        setup: Mapping[str, Any],
        model: str,
        fresh: bool = False,
        follow_links: bool = False,
    ) -> None:
        self.folder = Path(folder)
        self.inputs = inputs
        self.model = model
        self.waiting: list[str] = []
        self.retry_alone: list[str] = []
        self.failure: OSError | None = None
        # As JSON gives it back, to compare with what a ledger says.
        self._setup = json.loads(json.dumps(dict(setup)))
        self._fresh = fresh
        self._follow_links = follow_links
        self._places = {path: place for place, path in enumerate(inputs)}
        self._offsets = array("q", [-1]) * len(inputs)  # of each result's line
        self._deaths = bytearray(len(inputs))
        self._in_hand: dict[str, Stamp] = {}
        self._writing = threading.Lock()  # attempts come from the decoding threads
        self._closed = False

    def __enter__(self) -> RunJournal:
        self.folder.mkdir(parents=True, exist_ok=True)
        if not self._fresh:
            self._check_results()
        self._lock = self._take_lock()
        try:
            self._file = JournalFile(self.folder / LEDGER, sync_seconds=_SYNC_SECONDS)
            try:
                self._begin()
            except BaseException:
                self._file.close()
                raise
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with self._writing:
            self._closed = True
        try:
            self._file.sync()
            # Any other error counts as a death: it may be the work of a file, which then must not
            # end every run to come.
            if kind is None or issubclass(kind, (KeyboardInterrupt, OSError)):
                self._lock.mark("shut")
        finally:
            self._file.close()
            self._lock.release()

    @property
    def done(self) -> int:
        """Number of inputs that have a result."""
        return sum(offset >= 0 for offset in self._offsets)

    def attempt(self, path: str) -> None:
        """Note that a file is about to be touched; any thread may call it.

        Raises:
            OSError: When it cannot be written; also kept in `failure`, as the thread that meets
                it may not be the one that can report it.
        """
        stamp = self._stamp(path)
        with self._writing:
            if self._closed:
                # A decoding thread that outlives a run which was stopped: its file stays untouched.
                raise RunJournalError(f"The run that wrote to {self.folder} has ended.")
            try:
                self._append({"attempt": path, "stamp": stamp})
            except OSError as error:
                self.failure = error
                raise
            self._in_hand[path] = stamp

    def record(self, result: Result) -> None:
        """Note what came of a file.

        Raises:
            OSError: When it cannot be written; nothing of it is then.
        """
        with self._writing:
            stamp = self._in_hand.pop(result.video, None)
            offset = self._append({"result": json.loads(result.to_json()), "stamp": stamp})
            self._offsets[self._places[result.video]] = offset

    def results(self) -> Iterator[Result]:
        """Results so far, in the order of the inputs, read from disk one by one."""
        with open(self.folder / LEDGER, "rb") as lines:
            for offset in self._offsets:
                if offset >= 0:
                    lines.seek(offset)
                    yield _result(json.loads(lines.readline()))

    def _take_lock(self) -> RunLock:
        try:
            return RunLock(self.folder / LOCK)
        except BlockingIOError as error:
            process = f" (process {error})" if str(error) else ""
            raise RunJournalError(
                f"Another run is writing to {self.folder}{process}. Wait for it to end, or give "
                "another --out."
            ) from None
        except OSError as error:
            if error.filename is not None:  # opening failed, not locking
                raise
            raise RunJournalError(
                f"{self.folder / LOCK} cannot be locked ({error.strerror}), so two runs could "
                "write there at once. Give an --out on another file system."
            ) from error

    def _check_results(self) -> None:
        if (self.folder / RESULTS).exists() and not (self.folder / LEDGER).exists():
            raise RunJournalError(
                f"{self.folder} holds {RESULTS} without {LEDGER}, as a live stream leaves it, "
                "which cannot be labelled again. Give another --out, or write over it with --fresh."
            )

    def _begin(self) -> None:
        died = self._lock.last_state != "shut"
        if self._fresh:
            self._file.clear()
        self._read()
        self._settle(died)
        if self._lock.last_state == "open":
            self._sweep()
        self._append({"ledger": SCHEMA, "died": died, "setup": self._setup})
        self._lock.mark("open")
        self._file.sync()
        self._lock.sync()
        sync(self.folder)
        for path, offset, deaths in zip(self.inputs, self._offsets, self._deaths, strict=True):
            if offset >= 0:
                continue
            if deaths >= _MAX_DEATHS:
                self._in_hand[path] = self._stamp(path)
                self.record(Result(path, "quarantined", TWICE, model=self.model))
            elif deaths:
                self.retry_alone.append(path)
            else:
                self.waiting.append(path)

    def _read(self) -> None:
        """Take in what the ledger says, and cut off a last line that was torn."""
        begun = False
        for number, (offset, line) in enumerate(self._file.lines(), start=1):
            record = _parsed(line)
            if record is None:
                # A power cut can leave such a line; its work is done again.
                logger.warning("Line %d of %s cannot be read.", number, self.folder / LEDGER)
            elif "ledger" in record:
                self._check(record)
                if begun:
                    self._settle(bool(record["died"]))
                begun = True
            elif begun:
                self._take(record, offset)

    def _take(self, record: dict[str, Any], offset: int) -> None:
        path = record["attempt"] if "attempt" in record else record["result"]["video"]
        place = self._places.get(path)
        if place is None:  # an input of an earlier run
            return
        if "attempt" in record:
            self._in_hand[path] = record["stamp"]
            return
        self._in_hand.pop(path, None)
        same = _same_file(record["stamp"], self._stamp(path), record["result"]["status"])
        self._offsets[place] = offset if same else -1

    def _settle(self, died: bool) -> None:
        """A session's end: what it had in hand is suspect if it died."""
        for path, stamp in self._in_hand.items():
            if died and _same_file(stamp, self._stamp(path)):
                place = self._places[path]
                self._deaths[place] = min(self._deaths[place] + 1, _MAX_DEATHS)
        self._in_hand.clear()

    def _check(self, record: dict[str, Any]) -> None:
        if record["ledger"] > SCHEMA:
            raise RunJournalError(
                f"{self.folder / LEDGER} was written by a newer avel-tf. Update avel-tf, or give "
                "another --out."
            )
        theirs = record["setup"]
        differences = [
            f"{key} {theirs.get(key)!r}, now {self._setup.get(key)!r}"
            for key in (*self._setup, *(key for key in theirs if key not in self._setup))
            if theirs.get(key) != self._setup.get(key)
        ]
        if differences:
            raise RunJournalError(
                f"{self.folder} holds results that were made otherwise: {'; '.join(differences)}. "
                "Go on as it was begun, give another --out, or begin anew with --fresh."
            )

    def _stamp(self, path: str) -> Stamp:
        try:
            found = os.stat(path, follow_symlinks=self._follow_links)
        except (OSError, ValueError):  # ValueError: a NUL byte
            return None
        return [found.st_size, found.st_mtime_ns, found.st_ctime_ns]

    def _append(self, record: dict[str, Any]) -> int:
        try:
            return self._file.append(record)
        except OSError as error:
            room = " Make room there, and" if error.errno in _NO_ROOM else " Mend that, and"
            raise OSError(
                f"{self.folder / LEDGER} cannot be written: {error.strerror}.{room} run the same "
                "command again; what is done is kept."
            ) from error

    def _sweep(self) -> None:
        """Remove the temporary files of a writer that was killed; see `atomic_path`."""
        for path in self.folder.rglob(f"{WRITING}????????"):
            with contextlib.suppress(OSError):
                path.unlink()


def _parsed(line: bytes) -> dict[str, Any] | None:
    """A line as a record of one of the three kinds, or None."""
    try:
        record = json.loads(line)
        if "ledger" in record:
            valid = isinstance(record["ledger"], int) and isinstance(record["setup"], dict)
            return record if valid and "died" in record else None
        stamp = record["stamp"]
        if stamp is not None and [type(each) for each in stamp] != [int, int, int]:
            return None
        if "attempt" in record:
            return record if isinstance(record["attempt"], str) else None
        _result(record)
        return record
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


def _result(record: dict[str, Any]) -> Result:
    return Result.from_record(record["result"])


def _same_file(then: Stamp, now: Stamp, status: str = "ok") -> bool:
    """Return True if a file is unchanged since it was tried.

    Size and time of modification decide. For a file that could not be read the time of change
    counts as well: permissions may have been mended. For the others it does not, as a backup that
    makes hard links would have everything done again.
    """
    if then is None or now is None or status == "quarantined":
        return then == now
    return then[:2] == now[:2]
