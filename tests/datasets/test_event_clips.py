"""Clips of the events of results."""

from __future__ import annotations

import csv

import av
import cv2
import numpy as np
import pytest

from avel_tf.cli.main import main
from avel_tf.datasets import event_clips, load_dataset
from avel_tf.datasets.event_clips import EventPlace, select_events, write_clips
from avel_tf.events.event import Event
from avel_tf.events.formats import write_formats
from avel_tf.events.result import Result, Segment
from avel_tf.synthesis.writer import write_video
from avel_tf.video.decode import DecodeSettings, decode_clip, read_header
from tests.video.films import clicks, numbers, onset, write_film

RATE = 5


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """Eight seconds, each of a grey level and a pitch of its own."""
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    frames = np.repeat(np.arange(8, dtype=np.uint8) * 30, RATE)[:, None, None, None]
    time = np.arange(16_000) / 16_000
    sound = np.concatenate([np.sin(2 * np.pi * 300 * (s + 1) * time) / 2 for s in range(8)])
    frames = np.broadcast_to(frames, (8 * RATE, 48, 64, 3))
    return write_video(path, frames, sound.astype(np.float32), frame_rate=RATE)


def result_of(path, *events: Event, seconds: int = 8) -> Result:
    segments = tuple(Segment(s, s + 1, "background", 0.5) for s in range(seconds))
    return Result(str(path), "ok", duration=float(seconds), seconds=segments, events=events)


def pitch(second: np.ndarray) -> int:
    return int(np.abs(np.fft.rfft(second)).argmax())


def test_a_clip_has_the_seconds_of_its_event_and_margin(film, tmp_path):
    events = Event("Bark", 3.0, 5.0, 0.9), Event("Cat", 5.0, 7.0, 0.8), Event("Cow", 0.0, 1.0, 0.7)
    result = result_of(film, *events)
    summary = write_clips([result], select_events([result]), tmp_path)
    assert (summary.clips, summary.failed) == (3, {})
    clip = decode_clip(tmp_path / "clips" / "Bark" / "film-2-6.mp4", size=(48, 64))
    assert clip.seconds == 4
    levels = clip.frames.mean(axis=(1, 2, 3, 4))
    np.testing.assert_allclose(levels, [60, 90, 120, 150], atol=3)
    pitches = [pitch(second) for second in clip.waveform.reshape(4, -1)]
    np.testing.assert_allclose(pitches, [900, 1200, 1500, 1800], atol=5)
    # The margin ends with the video.
    assert {path.name for path in (tmp_path / "clips" / "Cow").iterdir()} == {"film-0-2.mp4"}
    assert decode_clip(tmp_path / "clips" / "Cat" / "film-4-8.mp4").seconds == 4


def test_the_clips_are_a_data_set(film, tmp_path):
    """Neighbours in the margin are annotated, too, with times of the clip."""
    result = result_of(film, Event("Bark", 3.0, 5.0, 0.9), Event("Cat", 5.5, 7.0, 0.8))
    write_clips([result], [EventPlace(0, 0, "Bark", 0.9)], tmp_path)
    (video,) = load_dataset(tmp_path).videos
    found = [(each.label, each.start, each.end) for each in video.annotations]
    assert found == [("Bark", 1.0, 3.0), ("Cat", 3.5, 4.0)]


def test_an_early_end_keeps_what_there_is(film, tmp_path):
    result = result_of(film, Event("Bark", 6.0, 12.0, 0.9), seconds=12)
    assert write_clips([result], select_events([result]), tmp_path).clips == 1
    assert decode_clip(tmp_path / "clips" / "Bark" / "film-5-12.mp4").seconds == 3


def numbered_film(path, **fields):
    """Six seconds of numbered frames, with a click at each whole second and a stereo image."""
    left = clicks(6, 44_100, tuple(range(6)))
    sound = np.stack([left, np.zeros_like(left)])
    return write_film(
        path, seconds=6, sound=sound, sound_rate=44_100, layout="stereo", **{"rate": 25, **fields}
    )


@pytest.mark.parametrize(
    ("name", "fields", "tolerance"),
    [
        ("film.mp4", {}, 0.0),
        ("film.mp4", {}, 0.5),
        ("film.mkv", {}, 0.0),
        ("film.mkv", {}, 0.5),
        # These are never copied, whatever the tolerance.
        ("film.ts", {}, 0.5),
        pytest.param(
            *("film.avi", {"video_codec": "mpeg4", "audio_codec": "libmp3lame"}, 0.5),
            marks=pytest.mark.slow,
        ),
        pytest.param("film.flv", {}, 0.5, marks=pytest.mark.slow),
        pytest.param(
            *("film.mpg", {"video_codec": "mpeg2video", "audio_codec": "mp2"}, 0.5),
            marks=pytest.mark.slow,
        ),
    ],
)
def test_picture_and_sound_of_a_clip_are_those_of_its_times(name, fields, tolerance, tmp_path):
    """Copied or encoded: the first frame, its clicks and the rate and channels of its sound."""
    film = numbered_film(tmp_path / name, **fields)
    result = result_of(film, Event("Bark", 3.0, 4.0, 0.9), seconds=6)
    summary = write_clips([result], select_events([result]), tmp_path, tolerance=tolerance)
    assert (summary.clips, summary.failed) == (1, {})
    copied = tolerance > 0 and name in ("film.mp4", "film.mkv")
    assert summary.copied == copied
    (row,) = csv.DictReader((tmp_path / "annotations.csv").read_text().splitlines())
    start = float(row["source_start"])
    assert start == pytest.approx(1.92 if copied else 2.0, abs=0.001)
    assert float(row["start"]) == pytest.approx(3.0 - start, abs=0.002)
    with av.open(str(tmp_path / row["video"])) as clip:
        image = next(clip.decode(video=0))
        picture = cv2.resize(image.to_ndarray(format="rgb24"), (128, 64))
    with av.open(str(tmp_path / row["video"])) as clip:
        parts = list(clip.decode(audio=0))
    assert image.time == 0
    # Elsewhere audio begins before the first frame, by its priming, and so time zero does.
    near = 0.01 if name in ("film.mp4", "film.mkv") else 1.01
    assert numbers(picture[None, None])[0] == pytest.approx(25 * start, abs=near)
    assert parts[0].sample_rate == 44_100 and parts[0].layout.name == "stereo"
    samples = np.concatenate([part.to_ndarray() for part in parts], axis=1)
    assert np.abs(samples[0]).max() > 0.1 > 10 * np.abs(samples[1]).max()
    for second in (3, 4):
        after = second - start - 0.5 - parts[0].time
        heard = onset(samples[0], after, 44_100) + parts[0].time
        assert heard == pytest.approx(second - start, abs=0.04)  # a frame


@pytest.mark.parametrize("tolerance", [0.0, 0.5])
def test_a_clip_has_the_shape_of_its_video(tolerance, tmp_path):
    film = numbered_film(tmp_path / "film.mp4", rotation=90)
    result = result_of(film, Event("Bark", 3.0, 4.0, 0.9), seconds=6)
    write_clips([result], select_events([result]), tmp_path, tolerance=tolerance)
    (path,) = (tmp_path / "clips" / "Bark").iterdir()
    info = read_header(path, DecodeSettings())
    upright = (info.height, info.width) if info.rotation % 180 else (info.width, info.height)
    assert upright == (64, 128)


def test_a_reply_of_a_worker_that_is_wrong_is_refused(film, tmp_path, monkeypatch):
    result = result_of(film, Event("Bark", 3.0, 4.0, 0.9))
    for reply in ([[0, 99.0, True]], [[7, 2.0, True]], ["?"], []):
        monkeypatch.setattr(event_clips, "run_media_job", lambda *_, reply=reply: iter(reply))
        summary = write_clips([result], select_events([result]), tmp_path / "out")
        assert summary.clips == 0 and "invalid reply" in summary.failed[str(film)]
        (tmp_path / "out" / "annotations.csv").unlink()
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    "label",
    ["../../up", "/etc/passwd", "..", "a\nb", "x" * 1000, "🐕 <b>", "CON.", "annotations.csv"],
)
def test_labels_never_become_paths(film, tmp_path, label):
    folder = tmp_path / "out" / "clips"
    result = result_of(film, Event(label, 0.0, 1.0, 0.9), seconds=1)
    assert write_clips([result], select_events([result]), folder).clips == 1
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) == 2 and all(path.is_relative_to(folder) for path in files)
    assert load_dataset(folder).labels.names == (" ".join(label.split()),)


def test_a_file_that_fails_costs_only_its_clips(film, tmp_path):
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(film.read_bytes()[:300])
    results = [result_of(path, Event("Bark", 0.0, 2.0, 0.9)) for path in (broken, film)]
    write_formats(["jsonl"], results, tmp_path / "results")
    words = ["clips", str(tmp_path / "results"), "--out", str(tmp_path / "out")]
    assert main(words) == 2
    assert [path.name for path in (tmp_path / "out" / "clips" / "Bark").iterdir()] == [
        "film-0-3.mp4"
    ]
    # Clips of two runs would share one table.
    assert main(words) == 1


def scored(*scores: tuple[str, float]) -> list[Result]:
    return [result_of("a.mp4", Event(label, 0.0, 1.0, score)) for label, score in scores]


def test_selections():
    results = scored(("A", 0.9), ("A", 0.5), ("A", 0.7), ("B", 0.6), ("B", 0.8), ("C", 0.4))

    def numbers(*arguments, **options):
        return [place.result for place in select_events(results, *arguments, **options)]

    assert numbers() == [0, 1, 2, 3, 4, 5]
    assert numbers("confident", 2) == [0, 4] and numbers("doubtful", 2) == [1, 5]
    assert numbers("random", 3) == numbers("random", 3) != numbers("random", 3, seed=1)
    assert [place.label for place in select_events(results, "balanced")] == ["A", "B", "C"]
    labels = [place.label for place in select_events(results, "balanced", 5)]
    assert sorted(labels) == ["A", "A", "B", "B", "C"]
    assert len(numbers("balanced", 99)) == 6


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(("best",), "Expected one of all"), (("random", 0), "at least 1")],
)
def test_unknown_selections_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        select_events([], *arguments)
    with pytest.raises(ValueError, match="margin"):
        write_clips([], [], None, margin=-1.0)
    with pytest.raises(ValueError, match="tolerance"):
        write_clips([], [], None, tolerance=float("nan"))
