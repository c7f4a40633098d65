"""Overlay videos: picture, sound and times of the source, and the panel below."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest

from avel_tf.cli.main import main
from avel_tf.events.event import Event
from avel_tf.events.formats import write_formats
from avel_tf.events.result import LabelScore, Result, Segment
from avel_tf.reports import fonts
from avel_tf.reports.overlay import write_overlay
from avel_tf.reports.overlay_panel import TimelinePanel
from avel_tf.video.decode import read_header
from avel_tf.video.decode_settings import DecodeSettings
from avel_tf.video.errors import MediaError
from tests.inference.fake_avel import FakePipeline, make_model
from tests.video.films import clicks, film_writer, numbered, numbers, tone, write_film

BLUE, ORANGE, GREY = (0, 114, 178), (230, 159, 0), (227, 229, 232)
IN_PROCESS = DecodeSettings(isolated=False)


def result_of(path, *events: Event, seconds: int = 4, missing=(), **fields) -> Result:
    segments = tuple(
        Segment(
            s, s + 1, next((e.label for e in events if e.start <= s < e.end), "background"), 0.8
        )
        for s in range(seconds)
        if s not in missing
    )
    return Result(str(path), "ok", None, float(seconds), segments, events, **fields)


def pictures(path, height: int) -> tuple[list[float], np.ndarray]:
    """Times and frames of a film, cut to its upper part."""
    with av.open(str(path)) as film:
        frames = [(frame.time, frame.to_ndarray(format="rgb24")) for frame in film.decode(video=0)]
    return [time for time, _ in frames], np.stack([image[:height] for _, image in frames])


def sound(path) -> tuple[np.ndarray, int]:
    """Samples [C, n] of a film from time zero on, and their rate."""
    with av.open(str(path)) as film:
        frames = list(film.decode(audio=0))
    rate = frames[0].sample_rate
    whole = np.concatenate([frame.to_ndarray() for frame in frames], axis=1)
    return np.pad(whole, ((0, 0), (round(frames[0].time * rate), 0))), rate


def test_frames_keep_their_times_and_sound_its_channels(tmp_path):
    """A variable frame rate, and another tone in each channel."""
    steps = np.random.default_rng(0).integers(2_000, 15_000, 40)
    times = [0, *np.cumsum(steps).tolist()]
    channels = np.stack([tone(4, 48_000, 440), tone(4, 48_000, 1000)])
    film = write_film(tmp_path / "film.mp4", times=times, sound=channels, layout="stereo")
    out = write_overlay(result_of(film), tmp_path / "out.mp4")
    shown_at, images = pictures(out, 160)
    np.testing.assert_allclose(shown_at[: len(times)], np.array(times) / 90_000, atol=1e-4)
    small = np.stack([cv2.resize(image, (128, 64)) for image in images])
    assert numbers(small[: len(times), None]) == list(range(len(times)))
    samples, rate = sound(out)
    assert rate == 48_000
    spectrum = np.abs(np.fft.rfft(samples[:, rate : 2 * rate], axis=1))
    assert spectrum.argmax(axis=1).tolist() == [440, 1000]


@pytest.mark.parametrize(
    ("rotation", "aspect", "size"),
    [
        (None, Fraction(1), (320, 160)),
        (90, Fraction(1), (320, 640)),
        (-90, Fraction(2), (270, 1080)),
        (180, Fraction(16, 11), (320, 110)),
        (None, Fraction(1, 2), (320, 320)),
    ],
)
def test_the_picture_is_upright_in_square_pixels(rotation, aspect, size, tmp_path):
    left_half = np.zeros((64, 128, 3), np.uint8)
    left_half[:, :64] = 255
    path = tmp_path / "film.mp4"
    with film_writer(path) as film:
        stream = film.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 128, 64, "yuv420p"
        stream.codec_context.sample_aspect_ratio = aspect
        if rotation is not None:
            stream.set_display_rotation(rotation)
        for number in range(10):
            frame = av.VideoFrame.from_ndarray(left_half, "rgb24")
            frame.pts = number
            film.mux(stream.encode(frame))
        film.mux(stream.encode(None))
    assert read_header(path, DecodeSettings()).pixel_aspect == pytest.approx(float(aspect))
    out = write_overlay(result_of(path, seconds=1), tmp_path / "out.mp4")
    width = size[0]
    with av.open(str(out)) as film:
        stream = film.streams.video[0]
        assert (stream.width, stream.sample_aspect_ratio) in [(width, None), (width, 1)]
        image = next(film.decode(video=0)).to_ndarray(format="rgb24")
    height = image.shape[0] - TimelinePanel(result_of(path, seconds=1), width, 1.0).height
    assert height == size[1]
    white = image[:height].mean(axis=2) > 127
    sides = {
        "left": white[:, : width // 3].mean(),
        "right": white[:, -width // 3 :].mean(),
        "top": white[: height // 3].mean(),
        "bottom": white[-height // 3 :].mean(),
    }
    side = {None: "left", 90: "bottom", -90: "top", 180: "right"}[rotation]
    assert max(sides, key=sides.get) == side


def test_a_late_picture_and_late_sound_stay_in_sync(tmp_path):
    late = [90_000 + n * 9_000 for n in range(30)]
    film = write_film(tmp_path / "film.mp4", times=late, sound=clicks(4, 48_000, (2.0,)))
    out = write_overlay(result_of(film), tmp_path / "out.mp4")
    times, images = pictures(out, 160)
    black = [time for time, image in zip(times, images, strict=True) if image.max() < 40]
    # Picture 0 of a film is black, too.
    assert black[0] == 0 and 0.9 < black[-1] <= 1.01 and len(black) > 4
    samples, rate = sound(out)
    assert np.abs(samples[0]).argmax() / rate == pytest.approx(2.0, abs=0.01)

    film = write_film(
        tmp_path / "late.mkv", seconds=3, sound=clicks(1, 48_000, (0.5,)), sound_start=1.5
    )
    samples, rate = sound(write_overlay(result_of(film), tmp_path / "late.mp4"))
    assert np.abs(samples[0]).argmax() / rate == pytest.approx(2.0, abs=0.01)


def test_the_playhead_moves_on_a_still_picture(tmp_path):
    film = write_film(
        tmp_path / "still.mp4", times=[0], pictures=[numbered(5)], sound=tone(4, 22_050),
        sound_rate=22_050,
    )  # fmt: skip
    out = write_overlay(result_of(film), tmp_path / "out.mp4")
    times, images = pictures(out, 160)
    assert times == pytest.approx(np.arange(0, 4.05, 0.2), abs=0.21) and np.diff(times).max() < 0.21
    small = np.stack([cv2.resize(image, (128, 64)) for image in images])
    assert set(numbers(small[:, None])) == {5}
    assert sound(out)[1] == 22_050


def test_a_worker_process_writes_the_same_file(tmp_path):
    film = write_film(tmp_path / "film.mp4", sound=tone(2, 44_100), sound_rate=44_100)
    maps = np.random.default_rng(0).random((2, 4, 4)).astype(np.float32)
    files = [
        write_overlay(result_of(film), tmp_path / f"{n}.mp4", attention=maps, media=media)
        for n, media in enumerate((DecodeSettings(), IN_PROCESS))
    ]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_attention_is_a_heat_map_on_the_picture(tmp_path):
    film = write_film(tmp_path / "film.mp4", pictures=[np.zeros((64, 128, 3), np.uint8)] * 50)
    maps = np.zeros((2, 4, 4), np.float32)
    maps[0, 0, 0] = maps[1, 3, 3] = 1.0
    out = write_overlay(result_of(film), tmp_path / "out.mp4", attention=maps)
    times, images = pictures(out, 160)
    for time, image in zip(times, images.mean(axis=3), strict=True):
        corner = image[:30, :60] if time < 1 else image[-30:, -60:]
        opposite = image[-30:, -60:] if time < 1 else image[:30, :60]
        assert corner.mean() > opposite.mean() + 50


@pytest.mark.slow
def test_memory_does_not_depend_on_the_length(tmp_path):
    """Five minutes take no more than one, to a few frames; the audio alone would be 46 MB."""
    code = (
        "import re, sys; from avel_tf.reports.overlay import *; "
        "from avel_tf.video.decode_settings import DecodeSettings; "
        "media = DecodeSettings(isolated=False, threads=1); "
        "write_overlay(Result(sys.argv[1], 'ok'), Path(sys.argv[2]), media=media); "
        "print(re.search(r'VmHWM:\\s+(\\d+)', Path('/proc/self/status').read_text())[1])"
    )
    peaks = []
    for minutes in (1, 5):
        path, seconds = tmp_path / f"{minutes}.mp4", 60 * minutes
        film = write_film(path, seconds=seconds, rate=2, sound=tone(seconds, 48_000))
        words = [sys.executable, "-c", code, str(film), str(tmp_path / "out.mp4")]
        done = subprocess.run(words, capture_output=True, text=True, check=True)
        peaks.append(int(done.stdout) / 1024)
        info = read_header(tmp_path / "out.mp4", IN_PROCESS)
        assert info.duration == pytest.approx(seconds, abs=0.1)
    assert peaks[1] - peaks[0] < 30, peaks  # MB


def test_a_video_is_never_overwritten_by_its_overlay(tmp_path):
    film = write_film(tmp_path / "film.mp4")
    before = film.read_bytes()
    with pytest.raises(ValueError, match="is the video itself"):
        write_overlay(result_of(film), film)
    assert film.read_bytes() == before


def test_a_failed_overlay_leaves_no_file(tmp_path):
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(write_film(tmp_path / "film.mp4").read_bytes()[:400])
    with pytest.raises(MediaError):
        write_overlay(result_of(broken), tmp_path / "out" / "out.mp4")
    assert not list((tmp_path / "out").iterdir())


def test_each_file_that_fails_is_one_line(tmp_path, capsys):
    good = write_film(tmp_path / "good.mp4", sound=tone(2, 48_000))
    silent = write_film(tmp_path / "audio.mp4", picture=False, sound=tone(2, 48_000))
    broken = tmp_path / "broken\nfile.mp4"
    broken.write_bytes(good.read_bytes()[:400])
    results = [result_of(path, Event("Bark", 0.0, 1.0, 0.9)) for path in (broken, silent, good)]
    results.append(Result("bad.mp4", "quarantined", "it is empty"))
    write_formats(["jsonl"], results, tmp_path / "results")
    words = ["overlay", str(tmp_path / "results"), "--out", str(tmp_path / "out")]
    assert main(words) == 2
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5 and lines[-1] == f"Overlays: 1 in {tmp_path / 'out'}"
    assert "no video track, only audio" in lines[1] and lines[3] == "bad.mp4: it is empty"
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["good.overlay.mp4"]
    write_formats(["jsonl"], results[:2], tmp_path / "none")
    assert main(["overlay", str(tmp_path / "none"), "--out", str(tmp_path / "out")]) == 1
    assert main(["overlay", "absent.jsonl", "--out", str(tmp_path / "out")]) == 1


def test_videos_are_labelled_first(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("avel_tf.inference.batch.InferencePipeline", FakePipeline)
    model = make_model(tmp_path / "fake" / "1")
    video = write_film(tmp_path / "film.mp4", sound=tone(2, 48_000))
    assert main(["overlay", str(video), "--model", str(model), "--out", str(tmp_path)]) == 0
    assert "film.overlay.mp4" in capsys.readouterr().out
    assert read_header(tmp_path / "film.overlay.mp4", IN_PROCESS).audio_codec == "aac"


def panel_of(*events: Event, width: int = 640, seconds: int = 10, **fields) -> TimelinePanel:
    return TimelinePanel(result_of("a.mp4", *events, seconds=seconds, **fields), width, seconds)


def columns(image: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """Columns of a panel in which a colour covers at least eight pixels."""
    return np.flatnonzero((image == colour).all(axis=2).sum(axis=0) >= 8)


@pytest.mark.parametrize("width", [320, 1920])
def test_events_and_the_playhead_are_at_their_times(width):
    panel = panel_of(Event("Bark", 2.0, 5.0, 0.9), Event("Cat", 6.0, 10.0, 0.8), width=width)
    image = panel.draw(0.0)
    assert image.shape == (panel.height, width, 3) and panel.height % 2 == 0
    bark, cat = columns(image, BLUE), columns(image, ORANGE)
    second = (cat[-1] - bark[bark > width // 5][0]) / 8  # pixels, from 2 s to 10 s
    track = [x for x in bark if x > width // 5]
    assert (track[-1] - track[0]) / second == pytest.approx(3, abs=0.2)
    start = track[0] - 2 * second
    for time in (0.0, 3.3, 9.9):
        changed = (panel.draw(time) != panel.draw(5.0)).any(axis=2)[panel.height // 2]
        (heads,) = np.nonzero(changed)
        assert min(abs(heads - (start + time * second))) < 0.1 * second + 3


def test_seconds_that_were_not_decoded_are_hatched():
    whole, holey = panel_of(), panel_of(missing=(4, 5))
    changed = (whole.draw(0.0) != holey.draw(0.0)).any(axis=(0, 2))
    (x,) = np.nonzero(changed)
    assert 0.38 < x.min() / 640 < 0.45 and 0.55 < x.max() / 640 < 0.62
    assert (whole.draw(4.0)[:20] != holey.draw(4.0)[:20]).any()  # "not decoded"


def test_an_hour_is_shown_in_pages():
    """Every second of an event is at least three pixels wide, and the whole is below."""
    events = [Event("Bark", float(s), s + 2.0, 0.9) for s in range(0, 3_600, 60)]
    panel = panel_of(*events, seconds=3_600)
    first, later = panel.draw(0.0), panel.draw(1_800.0)
    assert len(columns(first, BLUE)) >= 6 and len(columns(later, BLUE)) >= 6
    between = panel.draw(1_830.0)
    assert len(columns(between, BLUE)) >= 50  # of the strip
    # The playhead leaves a page on the right and enters the next on the left.
    heads = []
    for time in np.arange(1_800, 1_900, 0.5):
        row = (panel.draw(time) != panel.draw(0.0))[panel.height // 3].any(axis=1)
        heads.append(int(row.sum()))
    assert max(heads) < 640


def test_many_classes_share_the_last_lane():
    few = panel_of(*(Event(f"class {n}", float(n), n + 1.0, 0.9) for n in range(8)))
    many = panel_of(*(Event(f"class {n}", n / 10, n / 10 + 1.0, 0.9) for n in range(50)))
    assert many.height == few.height


def test_several_labels_are_named_with_their_scores():
    both = (LabelScore("Bark", 0.9), LabelScore("Flute", 0.7))
    segments = (Segment(0.0, 1.0, "Bark", 0.9, labels=both), Segment(1, 2, "background", 0.9, ()))
    events = (Event("Bark", 0.0, 1.0, 0.9), Event("Flute", 0.0, 1.0, 0.7))
    panel = TimelinePanel(Result("a.mp4", "ok", None, 2.0, segments, events), 640, 2.0)
    header = panel.draw(0.5)[:20]
    assert (header == BLUE).all(axis=2).sum() > 50 and (header == ORANGE).all(axis=2).sum() > 50
    assert not (panel.draw(1.5)[:20] == BLUE).all(axis=2).any()


@pytest.mark.parametrize(
    "name", ["犬の鳴き声", "نباح", "🐕 dog", "a\nb\x00", "x" * 1000, "<b>&--></b>", "\udcff", ""]
)
def test_names_in_any_script_are_drawn(name, monkeypatch):
    label = name or "x"
    panel = panel_of(Event(label, 1.0, 3.0, 0.9))
    assert columns(panel.draw(0.0), BLUE).size
    monkeypatch.setattr(fonts, "_system_fonts", lambda: ())
    _, text = fonts.font_and_text(name, 12)
    assert "\n" not in text and (
        name.isascii() or name != "犬の鳴き声" or text.startswith("\\u72ac")
    )
    assert panel_of(Event(label, 1.0, 3.0, 0.9)).draw(0.0).shape == panel.draw(0.0).shape
