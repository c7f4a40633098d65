from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from avel_tf.events.event import Event
from avel_tf.events.labels import Labels
from avel_tf.events.result import STATUSES, Result, Segment, labelled_seconds, read_results

# Any name that a file can have: any bytes but NUL.
file_names = (
    st.binary(min_size=1, max_size=60).map(lambda name: name.replace(b"\0", b"\n")).map(os.fsdecode)
)


@st.composite
def results(draw: st.DrawFn) -> Result:
    def spans(kind: type) -> list:
        starts = draw(st.lists(st.floats(0, 1e7), max_size=4))
        return [
            kind(
                start=start,
                end=start + draw(st.floats(0.002, 1e5)),
                label=draw(st.text(max_size=5)),
                score=draw(st.floats(0, 1)),
            )
            for start in starts
        ]

    status = draw(st.sampled_from(STATUSES))
    text = st.text(st.characters(), min_size=1, max_size=20)
    return Result(
        video=draw(file_names),
        status=status,
        reason=draw(text if status != "ok" else st.none() | text),
        duration=draw(st.none() | st.floats(0, 1e300)),
        seconds=tuple(spans(Segment)),
        events=tuple(spans(Event)),
        model=draw(st.none() | text),
        audio_track=tuple(draw(st.lists(st.integers(1, 99), max_size=3))),
    )


# Hypothesis builds its table of all characters once, which takes seconds on a new machine.
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(results())
def test_round_trip(result: Result) -> None:
    line = result.to_json()
    assert line.isascii()
    assert line.isprintable()  # so it is one line, whatever counts as a line's end
    assert Result.from_json(line) == Result.from_json(line.encode()) == result
    assert os.fsencode(json.loads(line)["video"]) == os.fsencode(result.video)


def test_the_sound_track_stands_in_a_line_only_where_it_is_known() -> None:
    plain, chosen = Result("a.mp4", "ok"), Result("a.mp4", "ok", audio_track=(2, 3))
    assert "audio_track" not in json.loads(plain.to_json())  # as in lines of earlier versions
    assert json.loads(chosen.to_json())["audio_track"] == [2, 3]
    line = plain.to_json()[:-1]
    for wrong in ("2", "[0]", "[true]", '["2"]', "[1.5]", "null"):
        with pytest.raises(ValueError, match="audio_track"):
            Result.from_json(f'{line}, "audio_track": {wrong}}}')


def test_the_line_is_the_one_of_the_design() -> None:
    result = Result(
        "dog.mp4",
        "ok",
        "No audio track: silence was assumed.",
        10.0,
        (Segment(0.0, 1.0, "Bark", 0.93),),
        (Event("Bark", 0.0, 1.0, 0.93),),
        "demo/1",
    )
    assert result.to_json() == (
        '{"schema": 1, "video": "dog.mp4", "status": "ok", '
        '"reason": "No audio track: silence was assumed.", "duration": 10.0, '
        '"seconds": [{"start": 0.0, "end": 1.0, "label": "Bark", "score": 0.93}], '
        '"events": [{"start": 0.0, "end": 1.0, "label": "Bark", "score": 0.93}], '
        '"model": "demo/1"}'
    )


def test_numbers_are_rounded_and_plain() -> None:
    score = np.float32(1 / 3)
    event = Event("Bark", np.float64(1e-9), np.float32(9.97654321), score)
    result = Result("a", "ok", duration=np.float32(9.97654321), events=[event])
    record = json.loads(result.to_json())
    assert record["duration"] == 9.977
    assert record["events"] == [{"start": 0.0, "end": 9.977, "label": "Bark", "score": 0.333333}]
    line = result.to_json()
    assert Result.from_json(line) == result and Result.from_json(line).to_json() == line


def test_making_a_result_leaves_the_event_as_it_was() -> None:
    event = Event("Bark", 0.0, 9.97654321, 1 / 3)
    result = Result("a", "ok", duration=75 / 7, events=[event])
    assert (event.end, event.score) == (9.97654321, 1 / 3)
    assert result.duration == 10.714 and result == Result.from_json(result.to_json())


def test_names_that_files_have_on_a_real_disk(tmp_path: Path) -> None:
    names = [b"dog\xff.mp4", b"two\nlines.mp4", b'"quoted".mp4', "hündchen\u2028.mp4".encode()]
    for name in names:
        (Path(os.fsdecode(os.path.join(os.fsencode(tmp_path), name)))).touch()
    listed = sorted(path.name for path in tmp_path.iterdir())
    out = tmp_path / "results.jsonl"
    out.write_text("".join(Result(name, "ok").to_json() + "\n" for name in listed))
    read = [result.video for result in read_results(out)]
    assert read == listed
    assert sorted(map(os.fsencode, read)) == sorted(names)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"video": ""}, "must be a path as text"),
        ({"video": Path("a")}, "os.fsdecode"),
        ({"status": "partail"}, "Received: 'partail'. Did you mean 'partial'?"),
        ({"status": "partial"}, "'a' is partial: its reason must say why"),
        ({"status": "quarantined", "reason": ""}, "its reason must say why"),
        ({"duration": float("nan")}, "or None where it is not known. Received: nan"),
        ({"duration": -1.0}, "Received: -1.0"),
        ({"duration": float("inf")}, "Received: inf"),
        ({"reason": 3}, "reason of 'a' must be text or None"),
        ({"model": Path("demo")}, "model of 'a' must be text or None"),
    ],
)
def test_a_result_that_contradicts_itself_is_refused(arguments: dict, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence.replace("?", r"\?")):
        Result(**{"video": "a", "status": "ok"} | arguments)


LINE = json.loads(Result("a", "ok", None, 1.0, (Segment(0, 1, "Bark", 1),)).to_json())


def changed(**values) -> str:
    return json.dumps(LINE | values)


def without(key: str) -> str:
    return json.dumps({name: value for name, value in LINE.items() if name != key})


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("", "one line of JSON"),
        ('{"schema": 1, "video": "a', "one line of JSON"),
        (b"\xff", "one line of JSON"),
        ("[" * 100_000, "one line of JSON"),
        ("[1]", "must be a JSON object. Received: list"),
        (changed(schema=2), "schema 2; .* up to 1. Update avel-tf"),
        (changed(schema="1"), "Received: '1'"),
        (changed(schema=True), "Received: True"),
        (without("schema"), "Received: None"),
        (without("events"), "key 'events' is missing"),
        (changed(video=3), "'video' must be str. Received: 3"),
        (changed(status=None), "'status' must be str. Received: None"),
        (changed(status="fine"), "one of ok, partial, quarantined"),
        (changed(duration="1"), "'duration' must be int or float or null"),
        (changed(duration=True), "Received: True"),
        (changed(duration=10**400), "'duration' is too large"),
        (changed(duration=float("nan")), "Received: nan"),
        (changed(seconds={}), "'seconds' must be list"),
        (changed(seconds=[3]), "must be a JSON object. Received: 3"),
        (changed(seconds=[{"start": 0, "end": 1, "label": "a"}]), "'score' is missing"),
        (changed(events=[{"start": 0, "end": 0, "label": "a", "score": 1}]), "after its start"),
        (changed(events=[{"start": 0, "end": 1, "label": "a", "score": 2}]), r"in \[0, 1\]"),
        (changed(events=[{"start": 0, "end": 1e999, "label": "a", "score": 1}]), "finite"),
    ],
)
def test_a_line_that_is_no_result_is_refused(line: str | bytes, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        Result.from_json(line)


def test_keys_of_tomorrow_are_ignored() -> None:
    assert Result.from_json(changed(colour="red")) == Result.from_json(json.dumps(LINE))


def test_reading_names_the_file_and_the_line(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    path.write_text(Result("a", "ok").to_json() + "\n" + Result("b", "ok").to_json()[:20])
    read = read_results(path)
    assert next(read).video == "a"
    with pytest.raises(ValueError, match=r"Line 2 of .*results.jsonl cannot be read"):
        next(read)


def test_seconds_that_could_not_be_decoded_are_left_out() -> None:
    labels = Labels(["Bark"])
    seconds = labelled_seconds(
        np.array([0, 1, 0]),
        np.array([0.9, 0.8, 0.7], np.float32),
        labels,
        np.array([True, True, False]),
        duration=3.0,
    )
    assert [(second.start, second.end, second.label) for second in seconds] == [
        (0.0, 1.0, "Bark"),
        (1.0, 2.0, "background"),
    ]
    (last,) = labelled_seconds(np.array([0]), np.array([0.5]), labels, duration=0.25)
    assert last.end == 0.25
