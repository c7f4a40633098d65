"""Subtitles and chapters, muxed into a video by FFmpeg and read back."""

from __future__ import annotations

import html
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from avel_tf.events.event import Event
from avel_tf.events.formats import write_formats
from avel_tf.events.result import Result
from tests.video.films import write_film

EVENTS = (
    Event("Bark; a=b # \\ c", 0.5, 1.5, 0.9),
    Event("犬 --> <b>&", 1.25, 2.0, 0.75),
    Event("two\nlines\t{\\an8}", 3.0, 3.999, 0.5),
)
SPANS = [(event.start, event.end) for event in EVENTS]


@pytest.fixture
def film(tmp_path: Path) -> Path:
    return write_film(tmp_path / "film.mp4", seconds=4)


def written(name: str, folder: Path) -> Path:
    """The file of a format."""
    result = Result("film.mp4", "ok", None, 4.0, (), EVENTS)
    write_formats([name], [result], folder / "formats")
    (path,) = (each for each in (folder / "formats" / name).rglob("*") if each.is_file())
    return path


@pytest.mark.parametrize("name", ["srt", "vtt"])
def test_subtitles_in_matroska_have_the_times_and_labels(
    name: str, film: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.mkv"
    with (
        av.open(str(film)) as video,
        av.open(str(written(name, tmp_path))) as text,
        av.open(str(out), "w") as target,
    ):
        packets = []
        for source in (video, text):
            stream = source.streams[0]
            copy = target.add_stream_from_template(stream, opaque=True)
            packets += [(packet, copy) for packet in source.demux(stream) if packet.size]
        for packet, copy in sorted(packets, key=lambda each: each[0].dts * each[0].time_base):
            packet.stream = copy
            target.mux(packet)
    with av.open(str(out)) as container:
        (stream,) = container.streams.subtitles
        packets = [packet for packet in container.demux(stream) if packet.size]
        begin = container.streams.video[0].start_time * container.streams.video[0].time_base
    found = [
        (
            float(packet.pts * packet.time_base - begin),
            float((packet.pts + packet.duration) * packet.time_base - begin),
        )
        for packet in packets
    ]
    np.testing.assert_allclose(found, SPANS, atol=0.0015)
    texts = [bytes(packet).decode() for packet in packets]
    if name == "vtt":
        texts = [html.unescape(each) for each in texts]
    for event, line in zip(EVENTS, texts, strict=True):
        assert "\n" not in line and f"({event.score:.2f})" in line
        assert line[:4] == event.label[:4].replace("\n", " ")


@pytest.mark.parametrize("ending", ["mkv", "mp4"])
def test_chapters_have_the_times_and_labels(ending: str, film: Path, tmp_path: Path) -> None:
    out = tmp_path / f"out.{ending}"
    chapters = written("chapters", tmp_path)
    with (
        av.open(str(film)) as video,
        av.open(str(chapters), format="ffmetadata") as text,
        av.open(str(out), "w") as target,
    ):
        target.set_chapters(text.chapters())
        copy = target.add_stream_from_template(video.streams.video[0], opaque=True)
        for packet in video.demux(video.streams.video[0]):
            if packet.size:
                packet.stream = copy
                target.mux(packet)
    with av.open(str(out)) as container:
        found = container.chapters()
    times = [
        tuple(float(each[name] * Fraction(each["time_base"])) for name in ("start", "end"))
        for each in found
    ]
    titles = [each["metadata"]["title"] for each in found]
    assert titles[:2] == [event.label for event in EVENTS[:2]] and len(titles) == 3
    if ending == "mkv":
        np.testing.assert_allclose(times, SPANS, atol=0.0015)
    else:  # in mp4 the first chapter begins at 0, and each ends where the next begins
        assert [start for start, _ in times] == pytest.approx([0.0, 1.25, 3.0], abs=0.0015)
