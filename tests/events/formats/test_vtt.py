from __future__ import annotations

import html
import re
from pathlib import Path

import av
import pytest

from avel_tf.events.event import Event
from avel_tf.events.formats import write_formats
from avel_tf.events.result import Result
from avel_tf.utils.text import valid_unicode
from tests.events.formats.samples import hostile_results

TIMESTAMP = r"(\d{2,}):([0-5]\d):([0-5]\d)\.(\d{3})"


def write_vtt(results: list[Result], folder: Path) -> Path:
    return write_formats(["vtt"], results, folder)["vtt"]


def parse(document: str) -> tuple[str, list[tuple[float, float, str]]]:
    """The note and the cues of a file, by the grammar of W3C WebVTT, section 4, and no wider."""
    assert "\0" not in document
    assert "\r" not in document
    header, note, *blocks = document.removesuffix("\n").split("\n\n")
    assert header == "WEBVTT"
    assert note.startswith("NOTE\n")
    assert "-->" not in note
    cues = []
    for block in blocks:
        timing, *payload = block.split("\n")
        times = re.fullmatch(f"{TIMESTAMP} --> {TIMESTAMP}", timing)
        assert times, timing
        numbers = [int(number) for number in times.groups()]
        start, end = (
            hours * 3600 + minutes * 60 + seconds + milliseconds / 1000
            for hours, minutes, seconds, milliseconds in (numbers[:4], numbers[4:])
        )
        assert start < end
        assert payload
        assert all(payload)
        text = "\n".join(payload)
        assert "-->" not in text
        assert "<" not in text
        assert re.fullmatch(r"([^&]|&(amp|lt|gt);)*", text)
        cues.append((start, end, html.unescape(text)))
    assert cues == sorted(cues)
    return html.unescape(note), cues


def written(result: Result, folder: Path) -> Path:
    (path,) = [path for path in write_vtt([result], folder).rglob("*") if path.is_file()]
    return path


def test_the_file_of_a_video(tmp_path: Path) -> None:
    events = (Event("Bark", 0, 2.5, 0.931), Event("Cat, meow", 3599.9996, 3661.25, 1))
    path = written(Result("/videos/dog.mp4", "ok", None, 4000.0, (), events), tmp_path)
    assert path == tmp_path / "vtt" / "videos" / "dog.mp4.vtt"
    assert path.read_bytes() == (
        b"WEBVTT\n\nNOTE\nvideo: /videos/dog.mp4\nstatus: ok\n\n"
        b"00:00:00.000 --> 00:00:02.500\nBark (0.93)\n\n"
        b"01:00:00.000 --> 01:01:01.250\nCat, meow (1.00)\n"
    )


def test_hostile_names_give_one_valid_file_each_in_the_folder(tmp_path: Path) -> None:
    results = hostile_results()
    root = write_vtt(results, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["vtt"]
    files = [path for path in root.rglob("*") if path.is_file()]
    assert len(files) == len(results)
    assert all(path.suffix == ".vtt" and not path.name.startswith(".") for path in files)
    notes = [parse(path.read_bytes().decode("utf-8"))[0] for path in files]
    for result in results:
        # White space is shown as one space, the rest of the unprintable as a question mark.
        shown = " ".join(valid_unicode(result.video).split())
        shown = "".join(letter if letter.isprintable() else "?" for letter in shown)
        assert any(f"\nvideo: {shown}\n" in note for note in notes), result.video


@pytest.mark.parametrize(
    "label",
    ["a --> b", "<b>&amp;</b>", "two\n\nlines", "\r\n", "\0nul", "dög\u2028", "\udcff", "NOTE"],
)
def test_labels_cannot_break_out_of_their_cue(tmp_path: Path, label: str) -> None:
    result = Result("a.mp4", "ok", label, 9.0, (), (Event(label, 0, 1, 1), Event("Bark", 2, 3, 1)))
    _, cues = parse(written(result, tmp_path).read_bytes().decode("utf-8"))
    assert [(start, end) for start, end, _ in cues] == [(0.0, 1.0), (2.0, 3.0)]
    assert cues[0][2].endswith("(1.00)")


def test_ffmpeg_reads_the_same_cues(tmp_path: Path) -> None:
    events = (
        Event("a --> <i>b</i> & c", 0.0, 1.5, 0.5),
        Event("two\n\nlines", 1.5, 3.25, 1.0),
        Event("Flute", 3600.0, 3661.0, 0.25),
    )
    path = written(Result("a.mp4", "partial", "x --> y", 4000.0, (), events), tmp_path)
    with av.open(str(path), format="webvtt") as container:
        stream = container.streams.subtitles[0]
        packets = [packet for packet in container.demux(stream) if packet.size]
        spans = [
            (float(packet.pts * stream.time_base), float(packet.duration * stream.time_base))
            for packet in packets
        ]
        texts = [html.unescape(bytes(packet).decode()) for packet in packets]
    assert spans == [(event.start, event.end - event.start) for event in events]
    assert texts == ["a --> <i>b</i> & c (0.50)", "two lines (1.00)", "Flute (0.25)"]


def test_a_video_without_events_has_a_file_that_says_why(tmp_path: Path) -> None:
    path = written(Result("a.mp4", "quarantined", "The file is\n\nempty."), tmp_path)
    note, cues = parse(path.read_text())
    assert cues == []
    assert "status: quarantined: The file is empty." in note
