"""Videos and jobs of the server, in one SQLite file."""

from __future__ import annotations

import json
import secrets
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from avel_tf.utils.settings import ConfigError

SCHEMA = 1
_TABLES = """
CREATE TABLE videos (
    id TEXT PRIMARY KEY, name TEXT, source TEXT, path TEXT, size INTEGER, created TEXT,
    status TEXT, reason TEXT, duration REAL, seconds INTEGER, events INTEGER, model TEXT, job TEXT
);
CREATE INDEX videos_by_path ON videos (source, path);
CREATE TABLE results (video TEXT PRIMARY KEY REFERENCES videos (id) ON DELETE CASCADE, record TEXT);
CREATE TABLE jobs (
    id TEXT PRIMARY KEY, kind TEXT, video TEXT, state TEXT, done REAL, total REAL, unit TEXT,
    message TEXT, error TEXT, created TEXT, started TEXT, finished TEXT, attempts INTEGER,
    result TEXT, parameters TEXT
);
CREATE INDEX jobs_by_state ON jobs (state, kind);
CREATE TABLE notes (key TEXT PRIMARY KEY, value TEXT);
"""
# Columns of jobs that hold JSON.
_JSON = ("result", "parameters")
WAITING, ENDED = ("queued", "running"), ("done", "failed", "cancelled")


@dataclass(frozen=True)
class Video:
    """A video that the server knows.

    Attributes:
        id: 12 hexadecimal digits.
        name: Name of the uploaded file, or path below the data folder.
        source: `upload` or `folder`.
        path: File, relative to the state folder or the data folder.
        size: Bytes.
        created: Time in ISO 8601, UTC.
        status: `queued`, `running`, `ok`, `partial`, `quarantined`, `failed` or `cancelled`.
        reason: Sentence for the status, else None.
        duration: Declared duration in seconds; None if unknown.
        seconds: Number of labelled seconds.
        events: Number of events of the model.
        model: Model that labelled it, else None.
        job: The last job.
    """

    id: str
    name: str
    source: str
    path: str
    size: int
    created: str
    status: str = "queued"
    reason: str | None = None
    duration: float | None = None
    seconds: int = 0
    events: int = 0
    model: str | None = None
    job: str | None = None


@dataclass(frozen=True)
class Job:
    """A job of the server.

    Attributes:
        id: 12 hexadecimal digits.
        kind: `label` or `train`.
        video: The video of a `label` job.
        state: `queued`, `running`, `done`, `failed` or `cancelled`.
        done: Amount of work done, in `unit`.
        total: Amount of work in all; None if unknown.
        unit: `seconds` or `steps`.
        message: Present step, for people.
        error: Sentence of a failed job.
        created: Time in ISO 8601, UTC; also `started` and `finished`.
        attempts: Number of times that the job was started.
        result: Result of a `train` job.
        parameters: Arguments of the job; not part of the API.
    """

    id: str
    kind: str
    video: str | None
    state: str
    unit: str
    created: str
    done: float = 0.0
    total: float | None = None
    message: str | None = None
    error: str | None = None
    started: str | None = None
    finished: str | None = None
    attempts: int = 0
    result: dict[str, Any] | None = None
    parameters: dict[str, Any] | None = None

    def public(self) -> dict[str, Any]:
        """The job as the API shows it."""
        record = asdict(self)
        del record["parameters"]
        return record


def new_id() -> str:
    """Random identifier of 12 hexadecimal digits."""
    return secrets.token_hex(6)


def now() -> str:
    """Present time in ISO 8601, UTC, in milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


class State:
    """Durable state of the server. Methods may be called from any thread.

    A change is on the disk when its method returns: write-ahead log, flushed at each commit.

    Args:
        path: The SQLite file, created where it is missing.

    Raises:
        ConfigError: The file belongs to a newer version.
    """

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._db.row_factory = sqlite3.Row
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            self._db.execute(f"PRAGMA {pragma}")
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if version > SCHEMA:
            raise ConfigError(
                f"{path} has schema {version}, and this version of avel-tf reads {SCHEMA}. Update "
                "avel-tf, or give another folder with --state."
            )
        if version == 0:
            self._db.executescript(f"BEGIN; {_TABLES} PRAGMA user_version={SCHEMA}; COMMIT;")

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:  # a full disk has rolled back by itself
                    self._db.execute("ROLLBACK")
                raise

    def _rows(self, query: str, *values: Any) -> list[sqlite3.Row]:
        with self._lock:
            return self._db.execute(query, values).fetchall()

    # Videos

    def video(self, video: str) -> Video | None:
        """The video of an identifier."""
        rows = self._rows("SELECT * FROM videos WHERE id = ?", video)
        return Video(**rows[0]) if rows else None

    def video_at(self, source: str, path: str) -> Video | None:
        """The video of a file."""
        rows = self._rows("SELECT * FROM videos WHERE source = ? AND path = ?", source, path)
        return Video(**rows[0]) if rows else None

    def videos(self) -> list[Video]:
        """All videos, the newest first."""
        return [Video(**row) for row in self._rows("SELECT * FROM videos ORDER BY rowid DESC")]

    def change_video(self, video: str, **values: Any) -> Video | None:
        """Change columns of a video; returns it, or None if it was removed."""
        with self._transaction() as db:
            _update(db, "videos", video, values)
        return self.video(video)

    def remove_video(self, video: str) -> None:
        """Remove a video and its result."""
        with self._transaction() as db:
            db.execute("DELETE FROM videos WHERE id = ?", (video,))

    def store_result(self, video: str, record: str, **values: Any) -> Video | None:
        """Store the JSON line of a result and change columns of its video, together."""
        with self._transaction() as db:
            if db.execute("SELECT 1 FROM videos WHERE id = ?", (video,)).fetchone():
                db.execute("INSERT OR REPLACE INTO results VALUES (?, ?)", (video, record))
                _update(db, "videos", video, values)
        return self.video(video)

    def result(self, video: str) -> str | None:
        """JSON line of the result of a video."""
        rows = self._rows("SELECT record FROM results WHERE video = ?", video)
        return rows[0]["record"] if rows else None

    # Jobs

    def job(self, job: str) -> Job | None:
        """The job of an identifier."""
        rows = self._rows("SELECT * FROM jobs WHERE id = ?", job)
        return _job(rows[0]) if rows else None

    def jobs(self, limit: int = 1_000) -> list[Job]:
        """The last jobs, the newest first."""
        return list(map(_job, self._rows("SELECT * FROM jobs ORDER BY rowid DESC LIMIT ?", limit)))

    def next_job(self, kind: str) -> Job | None:
        """The queued job of a kind that waits longest."""
        rows = self._rows(
            "SELECT * FROM jobs WHERE state = 'queued' AND kind = ? ORDER BY rowid LIMIT 1", kind
        )
        return _job(rows[0]) if rows else None

    def counts(self) -> dict[str, int]:
        """Number of jobs by state."""
        return dict(map(tuple, self._rows("SELECT state, COUNT(*) FROM jobs GROUP BY state")))

    def add_job(self, job: Job, video: Video | None = None) -> None:
        """Store a job, with the video that it is for if that is new or is labelled again."""
        with self._transaction() as db:
            if video is not None:
                _insert(db, "videos", asdict(video))
            _insert(db, "jobs", asdict(job))

    def change_job(self, job: str, **values: Any) -> Job | None:
        """Change columns of a job; returns it."""
        with self._transaction() as db:
            _update(db, "jobs", job, values)
        return self.job(job)

    def start_job(self, job: Job) -> Job | None:
        """Make a queued job `running`; returns it, or None if it is no longer queued."""
        with self._transaction() as db:
            changed = db.execute(
                "UPDATE jobs SET state = 'running', started = ?, attempts = ? "
                "WHERE id = ? AND state = 'queued'",
                (now(), job.attempts + 1, job.id),
            )
            if not changed.rowcount:
                return None
        return self.job(job.id)

    def requeue(self) -> None:
        """Queue the jobs again that were running when the server ended."""
        with self._transaction() as db:
            db.execute("UPDATE jobs SET state = 'queued' WHERE state = 'running'")
            db.execute("UPDATE videos SET status = 'queued' WHERE status = 'running'")

    # Notes

    def note(self, key: str) -> str | None:
        """A value that is kept under a key."""
        rows = self._rows("SELECT value FROM notes WHERE key = ?", key)
        return rows[0]["value"] if rows else None

    def set_note(self, key: str, value: str) -> None:
        """Keep a value under a key."""
        with self._transaction() as db:
            db.execute("INSERT OR REPLACE INTO notes VALUES (?, ?)", (key, value))


_COLUMNS = {
    "videos": {each.name for each in fields(Video)},
    "jobs": {each.name for each in fields(Job)},
}


def _insert(db: sqlite3.Connection, table: str, values: dict[str, Any]) -> None:
    names, marks = ", ".join(values), ", ".join("?" * len(values))
    updates = ", ".join(f"{name} = excluded.{name}" for name in values)
    db.execute(
        f"INSERT INTO {table} ({names}) VALUES ({marks}) ON CONFLICT (id) DO UPDATE SET {updates}",
        _encoded(values),
    )


def _update(db: sqlite3.Connection, table: str, row: str, values: dict[str, Any]) -> None:
    assert values.keys() <= _COLUMNS[table]  # names are part of the statement
    if values:
        changes = ", ".join(f"{name} = ?" for name in values)
        db.execute(f"UPDATE {table} SET {changes} WHERE id = ?", (*_encoded(values), row))


def _encoded(values: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(
        json.dumps(value) if name in _JSON and value is not None else value
        for name, value in values.items()
    )


def _job(row: sqlite3.Row) -> Job:
    values = dict(row)
    for name in _JSON:
        values[name] = None if values[name] is None else json.loads(values[name])
    return Job(**values)
