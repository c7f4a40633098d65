"""Results in shards, as `avel infer --ray` writes them, and their manifest.

`manifest/00000000.json` and its successors are the entries of a log. An entry is never changed, and
of several writers one alone creates the entry of a number. There are three kinds:

- `session`: a run began, with its `setup`; with `fresh`, earlier entries are void;
- `shard`: the lines of `shards/NAME.jsonl` count from now on, and those of the shards in `removes`
  no longer. `inputs` has [input, stamp, status] for each line;
- `died`: number of deaths of a worker that processed one input alone.

A shard that no entry names does not count. See docs/reference/results.md.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from avel_tf.events.result import Result, read_results
from avel_tf.utils.storage import Storage, open_storage

SCHEMA = 1
MANIFEST = "manifest"
SHARDS = "shards"
RESULTS = "results.jsonl"


@dataclass
class Committed:
    """State of a log after all of its entries.

    Attributes:
        entries: Number of entries.
        session: Number of the entry with which the last run began; -1 before the first.
        token: Random name of that run.
        setup: Model and settings of the run.
        shards: Entries of the shards that count, by name, in order.
        died: Deaths of workers that processed an input alone, as {input: [count, stamp]}.
    """

    entries: int = 0
    session: int = -1
    token: str = ""
    setup: dict[str, Any] | None = None
    shards: dict[str, dict[str, Any]] = field(default_factory=dict)
    died: dict[str, list[Any]] = field(default_factory=dict)

    def take(self, entry: dict[str, Any]) -> None:
        """Apply the next entry."""
        if entry["schema"] > SCHEMA:
            raise ValueError(
                f"Entry {self.entries} of the manifest was written by a newer avel-tf. Update "
                "avel-tf to read it."
            )
        if "session" in entry:
            if entry["fresh"]:
                self.shards.clear()
                self.died.clear()
            self.session, self.token, self.setup = self.entries, entry["session"], entry["setup"]
        elif "shard" in entry:
            for name in entry["removes"]:
                del self.shards[name]
            self.shards[entry["shard"]] = entry
        else:
            self.died.update(entry["died"])
        self.entries += 1


def entry_name(number: int) -> str:
    """Name of an entry of the log."""
    return f"{MANIFEST}/{number:08d}.json"


def read_committed(storage: Storage, state: Committed | None = None) -> Committed:
    """Read the log of a results folder.

    Args:
        storage: The results folder.
        state: State of an earlier call, to which later entries are added.

    Raises:
        ValueError: An entry cannot be read.
    """
    state = state or Committed()
    known = set(storage.names(MANIFEST))
    while (name := entry_name(state.entries)).partition("/")[2] in known:
        try:
            state.take(json.loads(storage.read(name)))
        except (KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
            raise ValueError(f"{name} is not an entry of a manifest: {error!r}.") from error
    return state


def has_shards(folder: str | Path) -> bool:
    """Return True if a folder or a bucket holds results in shards."""
    return entry_name(0).partition("/")[2] in open_storage(folder).names(MANIFEST)


def has_results(folder: str | Path) -> bool:
    """Return True if a folder or a bucket holds results, as a file or in shards."""
    return (Path(folder) / RESULTS).is_file() or has_shards(folder)


def read_all_results(results: str | Path) -> Iterator[Result]:
    """Read results, one at a time.

    Args:
        results: A results folder of `avel infer`, with a `results.jsonl` or shards; a bucket with
            shards; or a `results.jsonl`.

    Yields:
        The results in the order of the file, or in the order in which shards were committed.

    Raises:
        ValueError: There are no results, or a line is not a result.
    """
    storage = None
    if not Path(results).is_file() and has_shards(results):
        storage = open_storage(results)
    elif Path(results).is_dir():
        results = Path(results) / RESULTS
    if storage is None and not Path(results).is_file():
        raise ValueError(
            f"There is no file {results}. Expected a folder that avel infer has written, or its "
            f"{RESULTS}."
        )
    return read_results(results) if storage is None else _read_shards(storage)


def shard_lines(storage: Storage, entry: dict[str, Any]) -> list[bytes]:
    """Lines of a shard.

    Raises:
        ValueError: There are more or fewer than its entry has.
    """
    lines = storage.read(f"{SHARDS}/{entry['shard']}.jsonl").splitlines()
    if len(lines) != len(entry["inputs"]):
        raise ValueError(
            f"{SHARDS}/{entry['shard']}.jsonl is damaged: it has {len(lines)} lines, and its entry "
            f"in the manifest {len(entry['inputs'])}. Run the same command with --fresh."
        )
    return lines


def _read_shards(storage: Storage) -> Iterator[Result]:
    for entry in read_committed(storage).shards.values():
        for line in shard_lines(storage, entry):
            yield Result.from_json(line)
