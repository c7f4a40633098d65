"""Journal of attempts and results, from which an interrupted run resumes."""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import threading
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from avel_tf.events.result import Result
from avel_tf.events.result_shards import has_shards
from avel_tf.utils.durable_files import WRITING, JournalFile, RunLock, sync

logger = logging.getLogger(__name__)

SCHEMA = 1
LEDGER = "ledger.jsonl"
LOCK = "ledger.lock"
# Position in the journal up to which `avel_tf.inference.webhook` has posted the events.
SENT = "ledger.sent"
# Written from the journal at the end of a run. Without a journal it may be that of a live stream.
RESULTS = "results.jsonl"
TWICE = (
    "the run died twice while this file was processed, the second time alone; it is left out so "
    "that the others can be done"
)

# kill -9 loses nothing that was written, a power cut what was not synced. Losing a second of work
# costs less than a sync per file.
_SYNC_SECONDS = 1.0
_MAX_DEATHS = 2
# Errors of a write without room: full disk, quota, or limit of the file size.
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}

# Size, modification time and change time in ns; None for a file that does not exist.
Stamp = list[int] | None


class RunJournalError(ValueError):
    """This run cannot continue in the results folder."""


class RunJournal:
    """Append-only journal of the runs that wrote to one results folder.

    A line is written before a file is opened, and a line with its result afterwards. Only one
    process at a time may use the journal of a folder. A file whose size or modification time has
    changed is labelled again.

    A killed process leaves attempts without a result, and its lock file still contains "open".
    Any of these files may have caused its death, so the next run retries each of them once, alone,
    and quarantines a file if the process dies again. A run that ends normally, by Ctrl-C or for
    lack of disk space overwrites "open" by "shut", in place, which needs no space.

    Memory holds a few bytes per input and no results.

    Args:
        folder: The results folder; created if it is missing.
        inputs: Files of this run, as `os.fsdecode` gives their names.
        setup: Model and settings that affect results. A journal with another setup is refused.
        model: Name of the model in results.
        fresh: Discard the content of the journal.
        follow_links: True if links to files are followed.
        keep: Keep the results of all earlier runs, also of files that no longer exist, as a run
            that watches a folder does.
        crashed_engines: Descriptions of engines that crashed; a journal of theirs is not refused.

    Attributes:
        waiting: Inputs without a result.
        retry_alone: Inputs that were in progress when a process died, to be labelled one at a time
            after the others.

    Raises:
        RunJournalError: Another process uses the journal, it has another setup, or the folder has
            results without a journal, which may be those of a live stream.
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
        keep: bool = False,
        crashed_engines: Sequence[str] = (),
    ) -> None:
        self.folder = Path(folder)
        self.inputs = list(inputs)
        self.model = model
        self.waiting: list[str] = []
        self.retry_alone: list[str] = []
        self.failure: OSError | None = None
        # As read back from JSON, to be compared with the journal.
        self._setup = json.loads(json.dumps(dict(setup)))
        self._fresh = fresh
        self._follow_links = follow_links
        self._keep = keep
        self._crashed_engines = crashed_engines
        self._places = {path: place for place, path in enumerate(inputs)}
        self._offsets = array("q", [-1]) * len(inputs)  # offset of the line of each result
        self._deaths = bytearray(len(inputs))
        self._in_hand: dict[str, Stamp] = {}
        self._writing = threading.Lock()  # attempts come from the decoding threads
        self._closed = False

    def __enter__(self) -> RunJournal:
        self.folder.mkdir(parents=True, exist_ok=True)
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
            # Any other error counts as a death, because a file may have caused it, and would
            # otherwise end every later run.
            if kind is None or issubclass(kind, (KeyboardInterrupt, OSError)):
                self._lock.mark("shut")
        finally:
            self._file.close()
            self._lock.release()

    @property
    def done(self) -> int:
        """Number of inputs that have a result."""
        return sum(offset >= 0 for offset in self._offsets)

    def add(self, path: str) -> None:
        """Add an input; one that is there already stays as it is."""
        if path not in self._places:
            self._places[path] = len(self.inputs)
            self.inputs.append(path)
            self._offsets.append(-1)
            self._deaths.append(0)

    def is_done(self, path: str) -> bool:
        """True if a file has a result and is unchanged since. Reads the line of the result."""
        place = self._places.get(path)
        if place is None or self._offsets[place] < 0:
            return False
        record = next(self._records([self._offsets[place]]))
        return _same_file(record["stamp"], self._stamp(path), record["result"]["status"])

    def attempt(self, path: str) -> None:
        """Record that a file is about to be opened; may be called from any thread.

        Raises:
            OSError: The journal cannot be written. The error is also stored in `failure`, because
                the calling thread may be unable to report it.
        """
        stamp = self._stamp(path)
        with self._writing:
            if self._closed:
                # A decoding thread may outlive a stopped run; it must not open its file.
                raise RunJournalError(f"The run that wrote to {self.folder} has ended.")
            try:
                self._append({"attempt": path, "stamp": stamp})
            except OSError as error:
                self.failure = error
                raise
            self._in_hand[path] = stamp

    def forget(self, path: str) -> None:
        """Drop the attempt at a file that has disappeared; it gets no result."""
        with self._writing:
            self._in_hand.pop(path, None)

    def record(self, result: Result) -> None:
        """Record the result of a file.

        Raises:
            OSError: The journal cannot be written; it is then unchanged.
        """
        with self._writing:
            stamp = self._in_hand.pop(result.video, None)
            offset = self._append({"result": json.loads(result.to_json()), "stamp": stamp})
            self._offsets[self._places[result.video]] = offset

    def results(self) -> Iterator[Result]:
        """Results so far, in the order of the inputs, read from disk one by one."""
        yield from map(_result, self._records(offset for offset in self._offsets if offset >= 0))

    def _records(self, offsets: Iterable[int]) -> Iterator[dict[str, Any]]:
        with open(self.folder / LEDGER, "rb") as lines:
            for offset in offsets:
                lines.seek(offset)
                yield json.loads(lines.readline())

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
        if has_shards(self.folder):
            raise RunJournalError(
                f"{self.folder} holds results of a run with --ray. Use --ray again, or give "
                "another --out."
            )
        if self._fresh:
            return
        if (self.folder / RESULTS).exists() and not (self.folder / LEDGER).exists():
            raise RunJournalError(
                f"{self.folder} holds {RESULTS} without {LEDGER}, as a live stream leaves it. "
                "A stream cannot be labelled again: give another --out, or overwrite with --fresh."
            )

    def _begin(self) -> None:
        died = self._lock.last_state != "shut"
        if self._fresh:
            self._file.clear()
            (self.folder / SENT).unlink(missing_ok=True)
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
        """Read the journal, and cut off an incomplete last line."""
        begun = False
        for number, (offset, line) in enumerate(self._file.lines(), start=1):
            record = _parsed(line)
            if record is None:
                # A power cut can leave such a line; its file is labelled again.
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
        if path not in self._places and not self._keep:  # an input of an earlier run
            return
        if "attempt" in record:
            self._in_hand[path] = record["stamp"]
            return
        self.add(path)
        self._in_hand.pop(path, None)
        now = self._stamp(path)
        gone = self._keep and now is None
        same = gone or _same_file(record["stamp"], now, record["result"]["status"])
        self._offsets[self._places[path]] = offset if same else -1

    def _settle(self, died: bool) -> None:
        """End a session; if it died, count a death for each file in progress."""
        for path, stamp in self._in_hand.items():
            if died and _same_file(stamp, self._stamp(path)):
                self.add(path)
                place = self._places[path]
                self._deaths[place] = min(self._deaths[place] + 1, _MAX_DEATHS)
        self._in_hand.clear()

    def _check(self, record: dict[str, Any]) -> None:
        if record["ledger"] > SCHEMA:
            raise RunJournalError(
                f"{self.folder / LEDGER} was written by a newer avel-tf. Update avel-tf, or give "
                "another --out."
            )
        check_setup(record["setup"], self._setup, str(self.folder), self._crashed_engines)

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
            room = " Free space there, and" if error.errno in _NO_ROOM else " Fix that, and"
            raise OSError(
                f"{self.folder / LEDGER} cannot be written: {error.strerror}.{room} run the same "
                "command again; the results so far are kept."
            ) from error

    def _sweep(self) -> None:
        """Remove the temporary files of a writer that was killed; see `atomic_path`."""
        for path in self.folder.rglob(f"{WRITING}????????"):
            with contextlib.suppress(OSError):
                path.unlink()


def check_setup(
    theirs: Mapping[str, Any],
    ours: Mapping[str, Any],
    where: str,
    crashed_engines: Sequence[str] = (),
) -> None:
    """Refuse results that were made with another model or other settings.

    Args:
        theirs: Setup of the results that are there.
        ours: Setup of this run.
        where: Their folder, for the message.
        crashed_engines: Engines that the results may be of, because they crashed.

    Raises:
        RunJournalError: The setups differ.
    """
    differences = [
        f"{key} {theirs.get(key)!r}, now {ours.get(key)!r}"
        for key in (*ours, *(key for key in theirs if key not in ours))
        if theirs.get(key) != ours.get(key)
        and not (key in ("engine", "screen engine") and theirs.get(key) in crashed_engines)
    ]
    if differences:
        raise RunJournalError(
            f"{where} holds results of another setup: {'; '.join(differences)}. Use the same "
            "setup, give another --out, or discard the results with --fresh."
        )


def _parsed(line: bytes) -> dict[str, Any] | None:
    """Parse a line as a record of one of the three kinds; None if it is not valid."""
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

    Size and modification time are compared. The change time is compared only if the file could not
    be read, since permissions may have been corrected. For other files it is ignored, because a
    backup by hard links changes it.
    """
    if then is None or now is None or status == "quarantined":
        return then == now
    return then[:2] == now[:2]
