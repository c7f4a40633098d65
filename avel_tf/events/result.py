"""Result of one video and its JSON line."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from avel_tf.events.event import TIME_DECIMALS, Event, check_span, checked_seconds, second_spans
from avel_tf.events.labels import Labels
from avel_tf.utils.text import did_you_mean

if TYPE_CHECKING:
    import pandas

SCHEMA = 1
STATUSES = ("ok", "partial", "quarantined")

# Precision of a float32 probability.
SCORE_DECIMALS = 6
# Classes listed for each modality of a segment, and the smallest score listed.
MOST_EVIDENCE = 5
LEAST_EVIDENCE = 0.05
# The lists of classes with scores that a segment may have.
_LISTS = ("labels", "visual", "audio")

_Span = TypeVar("_Span", "Segment", Event)


@dataclass(frozen=True)
class LabelScore:
    """One of several labels of a segment.

    Args:
        label: Name of the class.
        score: Its probability, in [0, 1].

    Raises:
        ValueError: The score is not a probability.
    """

    label: str
    score: float

    def __post_init__(self) -> None:
        if not 0.0 <= self.score <= 1.0:
            raise ValueError(
                f"The score of the label {self.label!r} must be a probability in [0, 1]. "
                f"Received: {self.score!r}."
            )
        object.__setattr__(self, "score", _rounded(self.score, SCORE_DECIMALS))


@dataclass(frozen=True)
class Segment:
    """One second of a video with its label.

    Numbers are rounded to the precision of a JSON line, so a segment equals itself read back.

    Args:
        start: Start in seconds.
        end: End in seconds; one second later, or less at the end of the video.
        label: Name of the class, or `background`.
        score: Probability of that class, in [0, 1].
        labels: All labels of a multi-label model, the most probable, which is `label`, first;
            empty for background. None for a single-label model.
        visual: What the frames alone show, of a zero-shot model: up to five classes, the highest
            score first. None for other models.
        audio: The same of the audio alone.

    Raises:
        ValueError: A number is not finite or out of range.
    """

    start: float
    end: float
    label: str
    score: float
    labels: tuple[LabelScore, ...] | None = None
    visual: tuple[LabelScore, ...] | None = None
    audio: tuple[LabelScore, ...] | None = None

    def __post_init__(self) -> None:
        check_span(f"the segment at {self.start!r}", self.start, self.end, self.score)
        _round_span(self)


@dataclass(frozen=True, repr=False)
class Result:
    """Result of one input; every input has exactly one.

    Times are rounded to milliseconds and scores to six digits, so that
    `Result.from_json(result.to_json()) == result`.

    Args:
        video: Path of the file, as `os.fsdecode` gives it; any file name is allowed.
        status: "ok", "partial" (some segments could not be decoded) or "quarantined" (none
            could).
        reason: A sentence for partial and quarantined. With "ok" None, or a remark such as "no
            audio track: silence was assumed".
        duration: Length of the video in seconds; None if unknown.
        seconds: The segments that could be decoded, in order; others are left out.
        events: The events, in order.
        model: Name of the model; None if there was none.
        audio_track: Numbers of the audio tracks used, counted from 1; several if mono tracks were
            mixed. Empty without audio, and in results of older versions.

    Raises:
        ValueError: A part is invalid, or the parts contradict each other.

    Example:
        >>> Result("dog.mp4", "quarantined", "The file is empty.").to_json()
        '{"schema": 1, "video": "dog.mp4", "status": "quarantined", "reason": "The file is ...
    """

    video: str
    status: str
    reason: str | None = None
    duration: float | None = None
    seconds: tuple[Segment, ...] = ()
    events: tuple[Event, ...] = ()
    model: str | None = None
    audio_track: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.video, str) or not self.video:
            raise ValueError(
                f"A result's video must be a path as text. Received: {self.video!r}; "
                "os.fsdecode turns a Path or bytes into text."
            )
        if self.status not in STATUSES:
            raise ValueError(
                f"The status of {self.video!r} must be one of {', '.join(STATUSES)}. "
                f"Received: {self.status!r}.{did_you_mean(str(self.status), STATUSES)}"
            )
        if self.status != "ok" and not self.reason:
            raise ValueError(f"{self.video!r} is {self.status}: its reason must say why.")
        for name, text in (("reason", self.reason), ("model", self.model)):
            if text is not None and not isinstance(text, str):
                raise ValueError(
                    f"The {name} of {self.video!r} must be text or None. Received: {text!r}."
                )
        if self.duration is not None and not 0.0 <= self.duration < math.inf:
            raise ValueError(
                f"The duration of {self.video!r} must be a number of seconds, or None where it "
                f"is not known. Received: {self.duration!r}."
            )
        if self.duration is not None:
            object.__setattr__(self, "duration", _rounded(self.duration, TIME_DECIMALS))
        # A list would make the record mutable and unequal to the same record read back.
        object.__setattr__(self, "seconds", tuple(self.seconds))
        object.__setattr__(self, "events", tuple(_round_span(copy(each)) for each in self.events))
        object.__setattr__(self, "audio_track", tuple(self.audio_track))
        if any(type(number) is not int or number < 1 for number in self.audio_track):
            raise ValueError(
                f"The audio_track of {self.video!r} must hold numbers of tracks, counted from 1. "
                f"Received: {list(self.audio_track)!r}."
            )

    def __repr__(self) -> str:
        found = [f"{each.label} {each.start:g}-{each.end:g} s" for each in self.events[:3]]
        if len(self.events) > 3:
            found.append(f"{len(self.events) - 3} more")
        events = ", ".join(found) or "no event"
        parts = [f"{self.status}: {self.reason}" if self.reason else self.status]
        if self.status != "quarantined":
            parts += [f"{len(self.seconds)} segments", events]
        return f"<Result {self.video!r}: {'; '.join(parts)}>"

    def to_dataframe(self, what: str = "segments") -> pandas.DataFrame:
        """Convert the segments or the events to a pandas data frame.

        Args:
            what: `"segments"` or `"events"`.

        Returns:
            A row per segment or event with the columns `video`, `start`, `end`, `label`, `score`;
            times in seconds.

        Raises:
            ImportError: pandas is not installed.
            ValueError: `what` is neither.

        Example:
            >>> result.to_dataframe("events")
                 video  start  end label  score
            0  dog.mp4    2.0  7.0  Bark   0.93
        """
        if what not in ("segments", "events"):
            raise ValueError(
                f"to_dataframe takes 'segments' or 'events'. Received: {what!r}."
                f"{did_you_mean(str(what), ('segments', 'events'))}"
            )
        try:
            import pandas
        except ImportError as error:
            raise ImportError("to_dataframe needs pandas: pip install pandas") from error
        spans = self.seconds if what == "segments" else self.events
        columns = ("start", "end", "label", "score")
        rows = [(self.video, *(getattr(each, name) for name in columns)) for each in spans]
        return pandas.DataFrame(rows, columns=["video", *columns])

    def save(self, path: str | Path, format: str | None = None) -> Path:
        """Write the result to a file.

        Args:
            path: The file; its folder is created if it is missing.
            format: A name from `avel_tf.events.formats.FORMATS`, such as `csv` or `textgrid`; the
                suffix of the path when None.

        Returns:
            The file.

        Raises:
            ValueError: The format is unknown.
            OSError: The file cannot be written.

        Example:
            >>> result.save("dog.srt")
            PosixPath('dog.srt')
        """
        # The formats are written from results, so they import this module.
        from avel_tf.events.formats import write_result

        return write_result(self, path, format)

    def to_json(self) -> str:
        """The result as one line of ASCII JSON, without a newline.

        Bytes of a file name that are not UTF-8 are written as `\\udc80` ... `\\udcff`, which
        `os.fsencode` turns back into the bytes.

        Returns:
            One line; the same result gives the same bytes.
        """
        record = {
            "schema": SCHEMA,
            "video": self.video,
            "status": self.status,
            "reason": self.reason,
            "duration": self.duration,
            "seconds": [span_record(second) for second in self.seconds],
            "events": [span_record(event) for event in self.events],
            "model": self.model,
        }
        if self.audio_track:
            record["audio_track"] = list(self.audio_track)
        return json.dumps(record, ensure_ascii=True, allow_nan=False)

    @classmethod
    def from_json(cls, line: str | bytes) -> Result:
        """Read a result from its JSON line.

        Args:
            line: Output of `to_json`. Unknown keys are ignored.

        Raises:
            ValueError: The line is not a result, or has a newer schema.
        """
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"A result must be one line of JSON: {error}.") from error
        return cls.from_record(record)

    @classmethod
    def from_record(cls, record: Any) -> Result:
        """Read a result from its parsed JSON line.

        Args:
            record: Output of `json.loads`. Unknown keys are ignored.

        Raises:
            ValueError: The record is not a result, or has a newer schema.
        """
        if not isinstance(record, dict):
            raise ValueError(f"A result must be a JSON object. Received: {type(record).__name__}.")
        schema = record.get("schema")
        if isinstance(schema, bool) or not isinstance(schema, int) or schema < 1:
            raise ValueError(f'A result must say "schema": {SCHEMA}. Received: {schema!r}.')
        if schema > SCHEMA:
            raise ValueError(
                f"This result has schema {schema}; this version of avel-tf reads schemas up to "
                f"{SCHEMA}. Update avel-tf to read it."
            )
        return cls(
            video=_required(record, "video", (str,)),
            status=_required(record, "status", (str,)),
            reason=_required(record, "reason", (str, type(None))),
            duration=_required(record, "duration", (int, float, type(None))),
            seconds=tuple(
                Segment(**_span_values(item), **_lists(item))
                for item in _required(record, "seconds", (list,))
            ),
            events=tuple(
                Event(**_span_values(item)) for item in _required(record, "events", (list,))
            ),
            model=_required(record, "model", (str, type(None))),
            audio_track=_track_numbers(record),
        )


def labelled_seconds(
    label_index: np.ndarray,
    score: np.ndarray,
    labels: Labels,
    valid: np.ndarray | None = None,
    *,
    duration: float | None = None,
    label_scores: np.ndarray | None = None,
    evidence: Sequence[np.ndarray] = (),
    evidence_labels: Labels | None = None,
) -> tuple[Segment, ...]:
    """Make the segments of a result from the output of a model.

    Args:
        label_index: Class of each segment, int `[T]`.
        score: Probability of that class, float `[T]`, in [0, 1].
        labels: The class vocabulary.
        valid: Mask of the decoded segments, bool `[T]`; all when None. Others are left out.
        duration: Length of the video in seconds, at which the last segment ends.
        label_scores: Probability of each label of a segment, NaN for the other classes, float
            `[T, C]`, of a multi-label model.
        evidence: Visual and audio scores of each class, float `[T, C']` each, of a zero-shot model.
        evidence_labels: Names of the C' classes; `labels` when None.

    Returns:
        One `Segment` per valid segment, in order.

    Raises:
        ValueError: The shapes differ, an index is out of range, or a score is not a probability.
    """
    label_index, score, valid = checked_seconds(label_index, score, labels, valid)
    spans = second_spans(len(label_index), duration)
    return tuple(
        Segment(
            *spans[second],
            labels.name(int(label_index[second])),
            float(score[second]),
            None if label_scores is None else _sorted_labels(label_scores[second], labels),
            *(_strongest(scores[second], evidence_labels or labels) for scores in evidence),
        )
        for second in np.flatnonzero(valid)
    )


def _strongest(scores: np.ndarray, labels: Labels) -> tuple[LabelScore, ...]:
    """The classes of the highest scores, of scores [C], without those of no evidence."""
    order = np.argsort(-scores, kind="stable")[:MOST_EVIDENCE]
    return tuple(
        LabelScore(labels.name(int(index)), min(float(scores[index]), 1.0))
        for index in order
        if scores[index] >= LEAST_EVIDENCE
    )


def _sorted_labels(scores: np.ndarray, labels: Labels) -> tuple[LabelScore, ...]:
    """The classes with a score, of scores [C], the most probable first."""
    present = np.flatnonzero(~np.isnan(scores))
    order = present[np.argsort(-scores[present], kind="stable")]
    return tuple(
        LabelScore(labels.name(int(index)), min(float(scores[index]), 1.0)) for index in order
    )


def read_results(path: str | Path) -> Iterator[Result]:
    """Read a `results.jsonl`, one result at a time.

    Args:
        path: The file.

    Yields:
        The results in the order of the file.

    Raises:
        ValueError: A line is not a result; the message names the file and the line.

    Example:
        >>> [result.video for result in read_results("RESULTS/results.jsonl")]
    """
    # As bytes, because a text file also splits lines at carriage returns.
    with open(path, "rb") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                yield Result.from_json(line)
            except ValueError as error:
                raise ValueError(f"Line {number} of {path} cannot be read. {error}") from error


def _rounded(value: float, decimals: int) -> float:
    # float() because JSON has no NumPy numbers; + 0.0 turns the -0.0 of round(-1e-9) into 0.0.
    return round(float(value), decimals) + 0.0


def _round_span(span: _Span) -> _Span:
    """Rounds the numbers of a segment or an event in place."""
    for name, decimals in (
        ("start", TIME_DECIMALS),
        ("end", TIME_DECIMALS),
        ("score", SCORE_DECIMALS),
    ):
        object.__setattr__(span, name, _rounded(getattr(span, name), decimals))
    return span


def span_record(span: Segment | Event) -> dict[str, Any]:
    """A segment or an event as a JSON object, its numbers rounded."""
    record: dict[str, Any] = {
        "start": _rounded(span.start, TIME_DECIMALS),
        "end": _rounded(span.end, TIME_DECIMALS),
        "label": span.label,
        "score": _rounded(span.score, SCORE_DECIMALS),
    }
    for name in _LISTS if isinstance(span, Segment) else ():
        if (scores := getattr(span, name)) is not None:
            record[name] = [{"label": each.label, "score": each.score} for each in scores]
    return record


def _lists(item: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _label_scores(item, name) for name in _LISTS}


def _label_scores(item: Mapping[str, Any], name: str) -> tuple[LabelScore, ...] | None:
    """One of `_LISTS` of a segment; None in lines of models without it."""
    if item.get(name) is None:
        return None
    found = []
    for each in _required(item, name, (list,)):
        if not isinstance(each, dict):
            raise ValueError(f"A label of a segment must be a JSON object. Received: {each!r}.")
        label, score = _required(each, "label", (str,)), _required(each, "score", (int, float))
        found.append(LabelScore(label, score))
    return tuple(found)


def _track_numbers(record: Mapping[str, Any]) -> tuple[int, ...]:
    """The optional key `audio_track`."""
    numbers = record.get("audio_track", [])
    if not isinstance(numbers, list):
        raise ValueError(f"The value of 'audio_track' must be list. Received: {numbers!r}.")
    return tuple(numbers)


def _span_values(item: Any) -> dict[str, Any]:
    if not isinstance(item, dict):
        raise ValueError(f"A segment or an event must be a JSON object. Received: {item!r}.")
    number = (int, float)
    return {
        "start": _required(item, "start", number),
        "end": _required(item, "end", number),
        "label": _required(item, "label", (str,)),
        "score": _required(item, "score", number),
    }


def _required(record: Mapping[str, Any], key: str, types: tuple[type, ...]) -> Any:
    if key not in record:
        raise ValueError(f"The key {key!r} is missing. Received: {', '.join(record) or 'none'}.")
    value = record[key]
    # bool is a subclass of int, but true is not a number.
    if not isinstance(value, types) or isinstance(value, bool):
        expected = " or ".join("null" if kind is type(None) else kind.__name__ for kind in types)
        raise ValueError(f"The value of {key!r} must be {expected}. Received: {value!r}.")
    if isinstance(value, int):
        try:
            return float(value)
        except OverflowError as error:
            raise ValueError(f"The value of {key!r} is too large: {error}.") from error
    return value
