"""Corrections of people, in one `annotations.csv` that `avel train` reads."""

from __future__ import annotations

import csv
import functools
import io
import threading
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from avel_tf.events.event import TIME_DECIMALS, Event
from avel_tf.events.labels import BACKGROUND
from avel_tf.serving.errors import ApiError
from avel_tf.serving.state import new_id, now
from avel_tf.utils.durable_files import write_atomically

STATUSES = ("predicted", "accepted", "changed", "added", "rejected", "background")
# Rows of these statuses have an empty label in the file, so they are no events to `avel train`.
NO_EVENT = ("rejected", "background")
# Names of classes are a few words.
_MOST_LETTERS = 200


@dataclass(frozen=True)
class Annotation:
    """One event of a video as a person or the model has it.

    Attributes:
        id: `e0`, `e1` ... for events of the model, 12 hexadecimal digits for others.
        label: Name of the class; of a rejected event the class that was rejected, of background
            an empty text.
        start: Start in seconds.
        end: End in seconds.
        score: Score of the model; None for an added event.
        status: One of `STATUSES`.
        author: Person who made the last change; None if unknown.
        time: Time of the last change in ISO 8601, UTC; None before the first.
        predicted: Class that the model gave; None for an added event.
    """

    id: str
    label: str
    start: float
    end: float
    score: float | None = None
    status: str = "predicted"
    author: str | None = None
    time: str | None = None
    predicted: str | None = None


_COLUMNS = (
    "video",
    "label",
    "start",
    "end",
    "id",
    "status",
    "predicted",
    "score",
    "author",
    "time",
)


class Annotations:
    """The annotations of all videos, kept in memory and in one file.

    Each change writes the file anew, atomically, before the method returns. Methods may be called
    from any thread.

    Args:
        path: `annotations.csv`; it need not exist.

    Raises:
        ValueError: The file is damaged.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        # By path of the video as the file has it.
        self._videos: dict[str, dict[str, Annotation]] = {}
        if path.exists():
            self._read()

    def of(self, video: str, events: Iterable[Event] = ()) -> list[Annotation]:
        """Annotations of a video in order of time.

        Args:
            video: Its path as the file has it.
            events: Events of the model, which are the annotations until the first correction.
        """
        found = self._videos.get(video)
        rows = found.values() if found is not None else _of_events(events).values()
        return sorted(rows, key=lambda each: (each.start, each.end, each.id))

    def has(self, video: str) -> bool:
        """Return True if a video has corrections."""
        return video in self._videos

    def videos(self) -> list[str]:
        """Paths of the videos with corrections."""
        return list(self._videos)

    def add(self, video: str, events: Iterable[Event], annotation: Annotation) -> Annotation:
        """Add an event or a stretch of background."""
        added = replace(annotation, id=new_id(), time=now())
        self._store(video, events, added.id, added)
        return added

    def change(
        self,
        video: str,
        events: Iterable[Event],
        annotation: str,
        values: dict[str, object],
    ) -> Annotation:
        """Change an annotation.

        Args:
            video: Path of the video as the file has it.
            events: Events of the model.
            annotation: Identifier.
            values: Some of `label`, `start`, `end`, `status` and `author`. Without a status, an
                event with another label or other times becomes `changed`.

        Raises:
            ApiError: There is no such annotation, or a value is invalid.
        """
        before = self._find(video, events, annotation)
        after = replace(before, **values, time=now())  # type: ignore[arg-type]
        if "status" not in values and before.status != "added":
            after = replace(after, status="changed")
        if after.status in ("predicted", "accepted") and before.status == "background":
            after = replace(after, label=after.label or before.predicted or "")
        if after.status == "rejected":  # the file has no other label of it
            after = replace(after, label=before.predicted or after.label)
        after = checked(after)
        self._store(video, events, annotation, after)
        return after

    def remove(self, video: str, events: Iterable[Event], annotation: str) -> None:
        """Reject an event of the model, or remove an added one.

        Raises:
            ApiError: There is no such annotation.
        """
        before = self._find(video, events, annotation)
        after = None
        if before.predicted is not None:
            after = replace(before, label=before.predicted, status="rejected", time=now())
        self._store(video, events, annotation, after)

    def replace_all(self, video: str, rows: Iterable[Annotation]) -> None:
        """Replace the annotations of a video by those of another tool."""
        given = [replace(each, id=new_id(), time=now()) for each in rows]
        with self._lock:
            videos = {**self._videos, video: {each.id: each for each in given}}
            write_atomically(self._path, _as_csv(videos).encode())
            self._videos = videos

    def _find(self, video: str, events: Iterable[Event], annotation: str) -> Annotation:
        found = {each.id: each for each in self.of(video, events)}.get(annotation)
        if found is None:
            raise ApiError(404, f"The video has no annotation {annotation!r}.")
        return found

    def _store(
        self, video: str, events: Iterable[Event], annotation: str, row: Annotation | None
    ) -> None:
        with self._lock:
            rows = dict(self._videos.get(video) or _of_events(events))
            if row is None:
                rows.pop(annotation, None)
            else:
                rows[annotation] = row
            videos = {**self._videos, video: rows}
            if not rows:
                del videos[video]
            write_atomically(self._path, _as_csv(videos).encode())
            self._videos = videos  # only what is on the disk

    def _read(self) -> None:
        with open(self._path, encoding="utf-8", newline="") as file:
            for number, row in enumerate(csv.DictReader(file), start=2):
                try:
                    annotation = Annotation(
                        row["id"],
                        row["label"] or (row["predicted"] if row["status"] == "rejected" else ""),
                        float(row["start"]),
                        float(row["end"]),
                        float(row["score"]) if row["score"] else None,
                        row["status"],
                        row["author"] or None,
                        row["time"] or None,
                        row["predicted"] or None,
                    )
                except (KeyError, TypeError, ValueError) as error:
                    raise ValueError(
                        f"{self._path}, line {number}: this is not a row that avel serve wrote "
                        f"({error!r}). Mend the row, or move the file away."
                    ) from error
                self._videos.setdefault(row["video"], {})[annotation.id] = annotation


def checked(annotation: Annotation) -> Annotation:
    """Check a label, times and status, and round the times.

    Raises:
        ApiError: One of them is invalid.
    """
    start, end = (round(float(each), TIME_DECIMALS) for each in (annotation.start, annotation.end))
    if not 0 <= start < end < float("inf"):
        raise ApiError(
            422,
            f"An annotation needs 0 <= start < end in seconds. Received: {start:g} and {end:g}.",
        )
    if annotation.status not in STATUSES:
        raise ApiError(
            422, f"Unknown status {annotation.status!r}; expected one of {', '.join(STATUSES)}."
        )
    label = annotation.label.strip()
    if annotation.status == "background":
        label = ""
    elif not label or label.casefold() == BACKGROUND:
        raise ApiError(
            422, "An event needs the name of a class; for no event use the status 'background'."
        )
    if len(label) > _MOST_LETTERS or not label.isprintable():
        raise ApiError(
            422,
            f"The name of a class has at most {_MOST_LETTERS} printable letters. "
            f"Received: {label[:50]!r}.",
        )
    author = annotation.author.strip() if annotation.author else None
    if author and (len(author) > _MOST_LETTERS or not author.isprintable()):
        raise ApiError(422, f"An author has at most {_MOST_LETTERS} printable letters.")
    return replace(annotation, label=label, start=start, end=end, author=author)


def _of_events(events: Iterable[Event]) -> dict[str, Annotation]:
    return {
        f"e{number}": Annotation(
            f"e{number}", event.label, event.start, event.end, event.score, predicted=event.label
        )
        for number, event in enumerate(events)
    }


def _as_csv(videos: dict[str, dict[str, Annotation]]) -> str:
    lines = [",".join(_COLUMNS) + "\n"]
    for video, rows in videos.items():
        lines += [
            _line(video, row)
            for row in sorted(rows.values(), key=lambda each: (each.start, each.end, each.id))
        ]
    return "".join(lines)


@functools.lru_cache(maxsize=100_000)  # a change writes all rows, of which one is new
def _line(video: str, row: Annotation) -> str:
    text = io.StringIO()
    values = {**vars(row), "video": video}
    if row.status in NO_EVENT:
        values["label"] = ""
    columns = ("" if values[name] is None else values[name] for name in _COLUMNS)
    csv.writer(text, lineterminator="\n").writerow(columns)
    return text.getvalue()
