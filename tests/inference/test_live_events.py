"""Events of a stream while it comes: the same as those of the whole, each once, and posted."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from avel_tf.events.event import Event
from avel_tf.events.event_postprocessor import EventPostprocessor
from avel_tf.events.labels import Labels
from avel_tf.events.postprocessing import Postprocessing
from avel_tf.events.result import Result, Segment
from avel_tf.inference import live_events, live_run
from avel_tf.inference.live_events import LiveEvents
from tests.inference.receiver import Receiver

LABELS = Labels(["Bark", "Clock"])


def pipeline_of(events: EventPostprocessor) -> SimpleNamespace:
    postprocessing = Postprocessing(events=events)
    return SimpleNamespace(
        model=SimpleNamespace(postprocessing=postprocessing),
        labels=LABELS,
        scores=postprocessing.scores,
    )


def probabilities(letters: str) -> np.ndarray:
    """float32 [T, 3]; of `B` and `C`, small letters are below the onset threshold."""
    rows = {
        "B": (0.8, 0.1, 0.1), "b": (0.55, 0.0, 0.45), "C": (0.1, 0.8, 0.1), "c": (0.0, 0.55, 0.45),
        "-": (0.1, 0.1, 0.8), "?": (0.8, 0.1, 0.1),
    }  # fmt: skip
    return np.array([rows[letter] for letter in letters], np.float32).reshape(-1, 3)


def told(letters: str, postprocessor: EventPostprocessor) -> list[Event]:
    found: list[Event] = []
    live = LiveEvents(pipeline_of(postprocessor), found.append)  # type: ignore[arg-type]
    for row, letter in zip(probabilities(letters), letters, strict=True):
        live.add(row, letter != "?")
    live.end()
    return found


@given(
    letters=st.text("BbCc-?", max_size=40),
    gap=st.integers(0, 3),
    shortest=st.integers(1, 3),
    onset=st.sampled_from([0.5, 0.7]),
)
def test_the_events_are_those_of_the_whole_stream(letters, gap, shortest, onset):
    postprocessor = EventPostprocessor(
        onset_threshold=onset, sustain_threshold=0.5, fill_gap_seconds=gap, min_seconds=shortest
    )
    valid = np.array([letter != "?" for letter in letters], bool)
    expected = ()
    if valid.any():
        scores = Postprocessing(events=postprocessor).scores(probabilities(letters))
        expected = postprocessor.decode(scores, LABELS, valid)
    found = sorted(told(letters, postprocessor), key=lambda each: (each.start, each.label))
    assert [(e.label, e.start, e.end) for e in found] == [
        (e.label, e.start, e.end)
        for e in sorted(expected, key=lambda each: (each.start, each.label))
    ]


def test_an_event_is_told_once_it_cannot_change():
    found: list[Event] = []
    live = LiveEvents(pipeline_of(EventPostprocessor(fill_gap_seconds=1)), found.append)  # type: ignore[arg-type]
    counts = []
    for row in probabilities("-BB---"):
        live.add(row, True)
        counts.append(len(found))
    assert counts == [0, 0, 0, 0, 1, 1]


def test_hours_keep_a_bounded_number_of_segments(monkeypatch):
    monkeypatch.setattr(live_events, "_MOST_SEGMENTS", 20)
    letters = "BB-" * 50 + "C" * 95 + "-" + "B" * 3
    found = told(letters, EventPostprocessor())
    assert sum(event.label == "Bark" for event in found) == 51
    clocks = [event for event in found if event.label == "Clock"]
    assert len(clocks) > 1 and sum(event.end - event.start for event in clocks) == 95
    assert all(a.end <= b.start for a, b in zip(clocks, clocks[1:], strict=False))


def test_events_of_a_stream_are_posted_also_by_the_next_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", "*")
    receiver = Receiver()

    def localize_live(pipeline, source, *, on_segment, on_event, should_stop):
        on_event(Event("Bark", 1.0, 3.0, 0.9))
        on_event(Event("Clock", 5.0, 6.0, 0.8))
        return Result("-", "ok", None, 6.0, (Segment(0.0, 1.0, "Bark", 0.5),), model="demo/1")

    pipeline = SimpleNamespace(choose_engine=lambda: None)
    monkeypatch.setattr(live_run, "localize_live", localize_live)
    monkeypatch.setattr(live_run, "open_exported", lambda *_, **__: SimpleNamespace(name="demo/1"))
    monkeypatch.setattr(live_run, "pipeline_of", lambda *_: pipeline)

    def run(drain: float) -> live_run.LiveRun:
        config = {"webhook.drain_seconds": drain, "webhook.max_delay_seconds": 0.1}
        (tmp_path / "results.jsonl").unlink(missing_ok=True)  # as if the run had been killed
        return live_run.localize_live_to_folder(
            "-",
            tmp_path,
            on_segment=lambda _: None,
            config=config,
            formats=["jsonl"],
            on_event=receiver.url,
        )

    assert run(0).events.waiting == 2
    with receiver.up():
        assert run(60).events.delivered == 4
    assert [body["label"] for body in receiver.bodies] == ["Bark", "Clock"] * 2
    assert len({body["id"] for body in receiver.bodies}) == 4
    assert (tmp_path / "results.jsonl").is_file()
