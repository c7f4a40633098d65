"""Journal of one run on a cluster: attempts and results of all workers, in one process."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from avel_tf.cluster.remote_files import stamp_of
from avel_tf.cluster.result_store import Line, ResultStore, Stamp
from avel_tf.events.result import Result
from avel_tf.inference.run_journal import TWICE

# Deaths of workers that were alone with a file, after which the file is quarantined.
MOST_DEATHS = 2
# Passes in succession without a result that end a run: the cause is not one of the files.
MOST_IDLE_PASSES = 5


class ClusterJournal:
    """Attempts and results of the inputs of one run, known by their index.

    It is to a cluster as `RunJournal` is to one machine. A worker that dies leaves attempts without
    a result. `settle` makes these inputs suspects: the next pass processes each of them alone. An
    input is quarantined if a worker dies twice while it is alone with the input. The death of the
    driver, of the head node or of this process makes no suspects, because they open no input.

    Args:
        store: The results, with a session begun.
        inputs: Inputs without a result.
        model: Name of the model in results.
        shard_bytes: Size of the lines of a shard.
        commit_seconds: Time after which results are committed.
        follow_links: True if links to files are followed.
        model_files: Reference of the files of the model, in a list, which workers ask for.
    """

    def __init__(
        self,
        store: ResultStore,
        inputs: Sequence[str],
        *,
        model: str,
        shard_bytes: int,
        commit_seconds: float,
        follow_links: bool,
        model_files: list[Any] | None = None,
    ) -> None:
        self._store = store
        self._inputs = inputs
        self._model = model
        self._shard_bytes = shard_bytes
        self._commit_seconds = commit_seconds
        self._done = bytearray(len(inputs))
        self._in_hand: dict[int, tuple[bool, Stamp]] = {}
        self._messages: dict[int, str] = {}
        self._lines: list[Line] = []
        self._bytes = 0
        self._committed = time.monotonic()
        self._idle_passes = 0
        self._done_before = 0
        self._stopped = False
        self._model_files = model_files
        self.counts: Counter[str] = Counter()
        self._died_alone: dict[int, int] = {}
        places = {video: index for index, video in enumerate(inputs)} if store.died() else {}
        for video, (count, stamp) in store.died().items():
            if video in places and stamp_of(video, follow_links=follow_links) == stamp:
                self._died_alone[places[video]] = count
                if count >= MOST_DEATHS:  # the line was not committed any more
                    self._quarantine(places[video], stamp)
        self._suspects = set(self._died_alone)

    def stop(self) -> None:
        """Let workers open no further input."""
        self._stopped = True

    def model_files(self) -> list[Any] | None:
        """Reference of the files of the model, in a list."""
        return self._model_files

    def claim(self, indices: Sequence[int]) -> list[int]:
        """The inputs among some that a worker is to process: those without a result."""
        return [] if self._stopped else [each for each in indices if not self._done[each]]

    def attempt(self, index: int, stamp: Stamp, *, alone: bool) -> bool:
        """Record that a worker is about to open an input.

        Args:
            index: The input.
            stamp: Its state.
            alone: True if the worker processes no other input at the same time.

        Returns:
            False if the worker must open no further input, because the run ends.
        """
        if index in self._in_hand:
            self.counts["attempted again"] += 1
        self._in_hand[index] = (alone, stamp)
        return not self._stopped

    def record(self, index: int, status: str, text: str) -> None:
        """Record the result of an input.

        A second result of an input is counted and dropped: a worker that was taken for dead may
        still deliver one.

        Args:
            index: The input.
            status: Status of the result.
            text: Its JSON line.

        Raises:
            RunJournalError: Another run has begun to write to the same results.
        """
        _, stamp = self._in_hand.pop(index, (False, None))
        if self._done[index]:
            self.counts["labelled again"] += 1
            return
        self._done[index] = True
        self._suspects.discard(index)
        self._add(index, status, text, stamp)
        self.commit(force=False)

    def in_hand(self) -> int:
        """Number of inputs that workers have open."""
        return len(self._in_hand)

    def failed(self, index: int, message: str) -> None:
        """Record the error with which a worker is about to end."""
        self._messages[index] = message

    def settle(self) -> tuple[list[int], list[int]]:
        """End a pass, after which no worker is left, and list the inputs of the next one.

        Returns:
            Inputs to process in blocks, and inputs to process alone.

        Raises:
            RuntimeError: Several passes in succession had no result.
        """
        deaths = {}
        for index, (alone, stamp) in self._in_hand.items():
            self.counts["lost in hand"] += 1
            self._suspects.add(index)
            if alone:
                count = self._died_alone.get(index, 0) + 1
                self._died_alone[index] = count
                deaths[self._inputs[index]] = (count, stamp)
                if count >= MOST_DEATHS:
                    self._quarantine(index, stamp)
        self._in_hand.clear()
        if deaths:
            self._store.record_death(deaths)
        self.commit()
        done = sum(self._done)
        self._idle_passes = 0 if done > self._done_before else self._idle_passes + 1
        self._done_before = done
        if self._idle_passes > MOST_IDLE_PASSES:
            message = next(iter(self._messages.values()), "see the log of Ray")
            raise RuntimeError(
                f"The workers have finished none of {len(self._inputs) - done} inputs in "
                f"{MOST_IDLE_PASSES} passes: {message}. Run the same command again once the cause "
                "is removed; the results so far are kept."
            )
        waiting = [index for index, done in enumerate(self._done) if not done]
        return (
            [index for index in waiting if index not in self._suspects],
            [index for index in waiting if index in self._suspects],
        )

    def commit(self, *, force: bool = True) -> None:
        """Commit the results so far; unless forced, only if they are many or old."""
        due = self._bytes >= self._shard_bytes
        due = due or time.monotonic() - self._committed >= self._commit_seconds
        if not self._lines or not (due or force):
            return
        self._store.commit(self._lines)
        self._lines, self._bytes = [], 0
        self._committed = time.monotonic()

    def progress(self) -> tuple[int, Mapping[str, int]]:
        """Number of inputs done, and counts by status and kind of repetition."""
        self.commit(force=False)
        return sum(self._done), dict(self.counts)

    def _add(self, index: int, status: str, text: str, stamp: Stamp) -> None:
        self.counts[status] += 1
        line = Line(self._inputs[index], text, stamp, status)
        self._store.hold(line)
        self._lines.append(line)
        self._bytes += len(text)

    def _quarantine(self, index: int, stamp: Stamp) -> None:
        message = self._messages.get(index)
        reason = f"{TWICE} ({message})" if message else TWICE
        result = Result(self._inputs[index], "quarantined", reason, model=self._model)
        self._done[index] = True
        self._add(index, "quarantined", result.to_json(), stamp)
