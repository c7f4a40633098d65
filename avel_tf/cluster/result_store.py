"""Writer of results in shards, of which one session at a time may commit."""

from __future__ import annotations

import io
import json
import secrets
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from avel_tf.events.formats.parquet import write_parquet
from avel_tf.events.result import Result
from avel_tf.events.result_shards import (
    SCHEMA,
    SHARDS,
    Committed,
    entry_name,
    read_committed,
    shard_lines,
)
from avel_tf.inference.run_journal import RunJournalError, check_setup
from avel_tf.utils.durable_files import WRITING, JournalFile
from avel_tf.utils.storage import Folder, Storage

# Results of a session that are not committed yet, in a results folder.
_HELD = "held-"

# Size and modification time or version of an input; None if it does not exist.
Stamp = list[Any] | None


class Line(NamedTuple):
    """A result to be committed.

    Attributes:
        video: The input.
        text: Its JSON line, without a newline.
        stamp: State of the input when it was opened.
        status: Status of the result.
    """

    video: str
    text: str
    stamp: Stamp
    status: str


class ResultStore:
    """Writer of the log of `avel_tf.events.result_shards`.

    A session begins with an entry of its own and so ends every session before: a process that
    outlived its run fails at its next commit. Within a session, each entry has the next number. So
    the log has one order, on which all readers agree, and each input is committed once.

    Args:
        storage: The results folder or bucket.

    Raises:
        RunJournalError: The folder holds results of `avel infer` without `--ray`.

    Example:
        >>> store = ResultStore(open_storage("RESULTS"))
        >>> store.begin({"model": "demo/1"})
        >>> store.commit([Line("dog.mp4", result.to_json(), [12, 34], "ok")])
    """

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self._token = ""
        self._state = Committed()
        self._shards = 0
        self._held: JournalFile | None = None

    def begin(
        self,
        setup: Mapping[str, Any],
        *,
        fresh: bool = False,
        crashed_engines: Sequence[str] = (),
    ) -> None:
        """Begin a session.

        Args:
            setup: Model and settings that affect results.
            fresh: Discard the results of earlier sessions.
            crashed_engines: Descriptions of engines that crashed; results of theirs are kept.

        Raises:
            RunJournalError: The folder has results of another setup, or of a run without `--ray`.
        """
        where = str(getattr(self.storage, "path", "The bucket"))
        if isinstance(self.storage, Folder) and (self.storage.path / "ledger.jsonl").exists():
            raise RunJournalError(
                f"{where} holds results of a run without --ray. Give another --out."
            )
        setup = json.loads(json.dumps(dict(setup)))
        self._token = secrets.token_hex(8)
        while True:
            self._state = read_committed(self.storage, self._state)
            if self._state.setup is not None and not fresh:
                check_setup(self._state.setup, setup, where, crashed_engines)
            # Another session may begin at the same moment; this one then follows it.
            if self._append({"session": self._token, "setup": setup, "fresh": fresh}):
                break
        self._recover(keep=not fresh)
        self._remove_leftovers()

    def committed(self) -> dict[str, tuple[Stamp, str]]:
        """Stamp and status of each input with a committed result."""
        shards = self._state.shards.values()
        return {
            video: (stamp, status) for entry in shards for video, stamp, status in entry["inputs"]
        }

    def died(self) -> dict[str, tuple[int, Stamp]]:
        """Inputs that a worker processed alone when it died: number of deaths, and stamp."""
        return {video: (count, stamp) for video, (count, stamp) in self._state.died.items()}

    def hold(self, line: Line) -> None:
        """Keep a result until it is committed.

        A folder keeps it in a file of the session, so that the death of this process loses none. A
        bucket cannot append to an object; results that are not committed are lost with the process.
        """
        if not isinstance(self.storage, Folder):
            return
        if self._held is None:
            self._held = JournalFile(self.storage.path / f"{_HELD}{self._state.session:08d}.jsonl")
        self._held.append(line._asdict())

    def commit(self, lines: Iterable[Line], removes: Iterable[str] = ()) -> None:
        """Commit results as one shard.

        Args:
            lines: Results of inputs that have none.
            removes: Names of shards that the new one replaces.

        Raises:
            RunJournalError: Another session has begun.
            OSError: The folder cannot be written; nothing is committed.
        """
        lines = list(lines)
        name = f"{self._state.session:08d}-{self._shards:06d}"
        self._shards += 1
        table = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
        write_parquet((Result.from_json(line.text) for line in lines), table)
        table.flush()
        self.storage.write(f"{SHARDS}/{name}.parquet", table.buffer.getvalue())
        text = "".join(f"{line.text}\n" for line in lines)
        self.storage.write(f"{SHARDS}/{name}.jsonl", text.encode())
        inputs = [[line.video, line.stamp, line.status] for line in lines]
        self._require({"shard": name, "inputs": inputs, "removes": list(removes)})
        if self._held is not None:
            self._held.clear()

    def record_death(self, deaths: Mapping[str, tuple[int, Stamp]]) -> None:
        """Record deaths of workers that processed one input alone."""
        self._require({"died": {video: list(each) for video, each in deaths.items()}})

    def discard(self, videos: set[str]) -> None:
        """Remove the results of inputs that have changed, by writing their shards again."""
        for entry in list(self._state.shards.values()):
            if any(video in videos for video, *_ in entry["inputs"]):
                texts = shard_lines(self.storage, entry)
                kept = [
                    Line(video, text.decode(), stamp, status)
                    for (video, stamp, status), text in zip(entry["inputs"], texts, strict=True)
                    if video not in videos
                ]
                self.commit(kept, removes=[entry["shard"]])

    def _recover(self, *, keep: bool) -> None:
        """Commit, or discard, the results that earlier sessions held when they died."""
        if not isinstance(self.storage, Folder):
            return
        held = sorted(self.storage.path.glob(f"{_HELD}*.jsonl"))
        done = self.committed()
        lines: dict[str, Line] = {}
        for path in held:
            for text in path.read_bytes().splitlines(keepends=True):
                if text.endswith(b"\n"):  # else the process died while it wrote the line
                    line = Line(**json.loads(text))
                    if line.video not in done:
                        lines[line.video] = line
        if lines and keep:
            self.commit(lines.values())
        for path in held:
            path.unlink(missing_ok=True)

    def _append(self, entry: dict[str, Any]) -> bool:
        record = {"schema": SCHEMA, **entry}
        content = json.dumps(record, ensure_ascii=True).encode()
        if not self.storage.create(entry_name(self._state.entries), content):
            return False
        self._state.take(record)
        return True

    def _require(self, entry: dict[str, Any]) -> None:
        if not self._append(entry):
            raise RunJournalError(
                "Another run has begun to write to the same results, so this one ends. What it has "
                "committed is kept."
            )

    def _remove_leftovers(self) -> None:
        """Remove shards of earlier sessions that no entry names; those cannot commit any more."""
        for name in self.storage.names(SHARDS):
            if name.startswith(WRITING):
                self.storage.remove(f"{SHARDS}/{name}")
            shard, session = name.rpartition(".")[0], name.partition("-")[0]
            foreign = not session.isdecimal() or int(session) >= self._state.session
            if not foreign and shard not in self._state.shards:
                self.storage.remove(f"{SHARDS}/{name}")
