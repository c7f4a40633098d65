"""Which tracks are the film and its sound: several of them, opposite phase, covers, frame rates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.stream import Disposition
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from avel_tf.video.audio_mix import mix_seconds
from avel_tf.video.clip import SAMPLE_RATE
from avel_tf.video.decode import join
from avel_tf.video.decode_settings import DecodeSettings
from avel_tf.video.errors import MediaError
from avel_tf.video.probe import probe
from tests.video.films import FAST, SIZE, TICKS, numbered, numbers, tone, write_film
from tests.video.in_process import OwnDecoder, decode_blocks, decode_clip

RATE = 48_000
SECONDS = 4


@dataclass
class Track:
    """An audio track to write: float32 `[channels, n]`."""

    sound: np.ndarray
    layout: str = "stereo"
    disposition: int = 0
    metadata: dict[str, str] = field(default_factory=dict)


def both(sound: np.ndarray) -> np.ndarray:
    return np.stack([sound, sound])


def hertz(frequency: float, **where: float) -> np.ndarray:
    """A tone, silent outside of `start` to `end`: float32 `[n]`."""
    sound = tone(SECONDS, RATE, frequency)
    time = np.arange(len(sound)) / RATE
    return sound * ((time >= where.get("start", 0)) & (time < where.get("end", SECONDS)))


SILENCE = np.zeros(SECONDS * RATE, np.float32)


def write_tracks(path: Path, tracks: Sequence[Track], codec: str = "aac", rate: int = 10) -> Path:
    """A film of numbered pictures with these audio tracks."""
    with av.open(str(path), "w") as film:
        video = film.add_stream("libx264", rate=rate, options=FAST["libx264"])
        video.height, video.width, video.pix_fmt = *SIZE, "yuv420p"
        audios = []
        for track in tracks:
            audio = film.add_stream(codec, rate=RATE, layout=track.layout)
            audio.disposition = track.disposition
            audio.metadata.update(track.metadata)
            audios.append(audio)
        packets = []
        for number in range(SECONDS * rate):
            packets += video.encode(av.VideoFrame.from_ndarray(numbered(number), "rgb24"))
        packets += video.encode(None)
        for audio, track in zip(audios, tracks, strict=True):
            samples = np.ascontiguousarray(np.atleast_2d(track.sound), np.float32)
            frame = av.AudioFrame.from_ndarray(samples, "fltp", track.layout)
            frame.sample_rate, frame.pts, frame.time_base = RATE, 0, Fraction(1, RATE)
            context = audio.codec_context
            form = av.AudioResampler(
                context.format.name, track.layout, RATE, frame_size=context.frame_size or 1024
            )
            for part in form.resample(frame) + form.resample(None):
                packets += audio.encode(part)
            packets += audio.encode(None)
        packets.sort(key=lambda packet: packet.dts * packet.time_base)
        for packet in packets:
            film.mux(packet)
    return path


def tones(waveform: np.ndarray) -> list[dict[int, float]]:
    """The tones of every second, to the nearest 50 Hz, with their amplitudes."""
    found = []
    for second in waveform.reshape(-1, SAMPLE_RATE):
        spectrum = np.abs(np.fft.rfft(second)) * 2 / SAMPLE_RATE  # a bin is 1 Hz
        peaks = np.flatnonzero(spectrum > 0.05)
        found.append({round(p / 50) * 50: float(spectrum[p]) for p in peaks if p % 50 < 2})
    return found


def names_of(waveform: np.ndarray) -> list[set[int]]:
    return [set(second) for second in tones(waveform)]


def read(path: Path, **settings: int):
    """The clip, which is the same in blocks of any size."""
    limits = DecodeSettings(**settings)  # type: ignore[arg-type]
    clip = decode_clip(path, size=SIZE, settings=limits)
    for seconds in (1, 3):
        blocks = list(decode_blocks(path, block_seconds=seconds, size=SIZE, settings=limits))
        joined = join(blocks, None)
        assert joined.waveform.tobytes() == clip.waveform.tobytes()
        assert (joined.remark, joined.audio_track) == (clip.remark, clip.audio_track)
        assert all(not block.audio_track and not block.remark for block in blocks[:-1])
    return clip


@pytest.mark.parametrize("ending", ["mp4", "mkv", "mov"])
def test_a_silent_first_track_gives_way(ending: str, tmp_path: Path) -> None:
    tracks = [Track(both(SILENCE)), Track(both(hertz(500))), Track(both(hertz(800)))]
    clip = read(write_tracks(tmp_path / f"a.{ending}", tracks))
    assert names_of(clip.waveform) == [{500}] * SECONDS
    assert clip.audio_track == (2,) and clip.problem is None
    assert clip.remark == (
        "audio track 2 of 3 is used, because track 1 is silent or cannot be decoded"
    )


def test_a_transport_stream_has_no_default_track(tmp_path: Path) -> None:
    tracks = [Track(both(SILENCE)), Track(both(hertz(500)))]
    clip = read(write_tracks(tmp_path / "a.ts", tracks))
    assert names_of(clip.waveform) == [{500}] * SECONDS and clip.audio_track == (2,)


def test_the_default_track_comes_first(tmp_path: Path) -> None:
    tracks = [
        Track(both(hertz(500))),
        Track(both(hertz(800)), disposition=Disposition.default),
        Track(both(hertz(1000))),
    ]
    clip = read(write_tracks(tmp_path / "a.mkv", tracks))
    assert names_of(clip.waveform) == [{800}] * SECONDS
    assert (clip.audio_track, clip.remark) == ((2,), None)


def test_a_default_track_that_begins_late_is_not_silent(tmp_path: Path) -> None:
    tracks = [
        Track(both(hertz(500, start=3)), disposition=Disposition.default),
        Track(both(hertz(800))),
    ]
    clip = read(write_tracks(tmp_path / "a.mkv", tracks))
    assert names_of(clip.waveform) == [set(), set(), set(), {500}]
    assert (clip.audio_track, clip.remark) == ((1,), None)


def test_a_silent_default_gives_way_to_the_first_of_the_others(tmp_path: Path) -> None:
    tracks = [
        Track(both(hertz(500)), disposition=Disposition.comment),
        Track(both(hertz(800))),
        Track(both(SILENCE), disposition=Disposition.default),
    ]
    clip = read(write_tracks(tmp_path / "a.mkv", tracks))
    assert names_of(clip.waveform) == [{800}] * SECONDS and clip.audio_track == (2,)


def test_where_all_tracks_are_silent_the_default_is_used(tmp_path: Path) -> None:
    tracks = [Track(both(SILENCE)), Track(both(SILENCE), disposition=Disposition.default)]
    clip = read(write_tracks(tmp_path / "a.mkv", tracks))
    assert not clip.waveform.any() and clip.has_sound
    assert (clip.audio_track, clip.remark) == ((2,), None)


def test_a_first_track_in_a_format_that_is_not_read_gives_way(tmp_path: Path) -> None:
    path = write_tracks(tmp_path / "a.mkv", [Track(both(hertz(500)))] * 2)
    with av.open(str(path)) as film:
        first, second = film.streams.audio
        assert first.codec_context.name == second.codec_context.name == "aac"
    body = path.read_bytes()
    assert body.count(b"A_AAC") == 2
    path.write_bytes(body.replace(b"A_AAC", b"A_AC3", 1))
    clip = decode_clip(path, size=SIZE)
    assert names_of(clip.waveform) == [{500}] * SECONDS and clip.audio_track == (2,)


@pytest.mark.parametrize("ending", ["mov", "mkv"])
def test_four_mono_tracks_of_which_one_has_sound(ending: str, tmp_path: Path) -> None:
    tracks = [Track(SILENCE, "mono") for _ in range(4)]
    tracks[2] = Track(hertz(600), "mono")
    clip = read(write_tracks(tmp_path / f"a.{ending}", tracks, "pcm_s16le"))
    # As loud as in its track, as the silent ones do not count.
    assert tones(clip.waveform) == [{600: pytest.approx(0.5, rel=0.02)}] * SECONDS
    assert clip.audio_track == (3,)
    assert clip.remark == (
        "the mono audio tracks 1 and 2 and 3 and 4 are mixed; only 3 is not silent"
    )


def test_mono_tracks_are_mixed_as_they_sound(tmp_path: Path) -> None:
    tracks = [
        Track(hertz(500, end=2), "mono"),
        Track(hertz(800, start=1, end=3), "mono"),
        Track(SILENCE, "mono"),
    ]
    clip = read(write_tracks(tmp_path / "a.mkv", tracks, "pcm_s16le"))
    full, half = pytest.approx(0.5, rel=0.02), pytest.approx(0.25, rel=0.02)
    assert tones(clip.waveform) == [{500: full}, {500: half, 800: half}, {800: full}, {}]
    assert clip.audio_track == (1, 2)


def test_mono_tracks_of_different_languages_are_no_channels(tmp_path: Path) -> None:
    tracks = [
        Track(hertz(500), "mono", Disposition.default, {"language": "eng"}),
        Track(hertz(800), "mono", 0, {"language": "fra"}),
    ]
    clip = read(write_tracks(tmp_path / "a.mkv", tracks))
    assert names_of(clip.waveform) == [{500}] * SECONDS
    assert (clip.audio_track, clip.remark) == ((1,), None)


def test_a_setting_chooses_the_track(tmp_path: Path) -> None:
    tracks = [Track(both(hertz(500))), Track(both(SILENCE)), Track(both(hertz(800)))]
    path = write_tracks(tmp_path / "a.mkv", tracks)
    for number, expected in ((1, {500}), (2, set()), (3, {800})):
        clip = read(path, audio_track=number)
        assert names_of(clip.waveform) == [expected] * SECONDS
        assert (clip.audio_track, clip.remark) == ((number,), None)
    for door in (probe, decode_clip):
        with pytest.raises(MediaError, match=r"3 audio tracks, but media\.audio_track is 4"):
            door(path, settings=DecodeSettings(audio_track=4))
    silent = write_film(tmp_path / "silent.mp4")
    assert not decode_clip(silent, settings=DecodeSettings(audio_track=2)).has_sound
    with pytest.raises(ValueError, match=r"media\.audio_track .* Received: -1"):
        DecodeSettings(audio_track=-1)


@pytest.mark.parametrize("gain", [1.0, 0.8])
@pytest.mark.parametrize("codec", ["aac", "pcm_s16le"])
def test_opposite_phase_does_not_cancel(gain: float, codec: str, tmp_path: Path) -> None:
    sound = hertz(500)
    clip = read(write_tracks(tmp_path / "a.mkv", [Track(np.stack([sound, -gain * sound]))], codec))
    assert tones(clip.waveform) == [{500: pytest.approx(0.5, rel=0.02)}] * SECONDS
    assert clip.remark == (
        f"two audio channels are in opposite phase and cancel each other out in {SECONDS} "
        "s; one of them is used there"
    )


def test_opposite_phase_is_decided_second_by_second(tmp_path: Path) -> None:
    sound = hertz(500)
    right = np.concatenate([sound[: 2 * RATE], -sound[2 * RATE :]])
    path = write_tracks(tmp_path / "a.mkv", [Track(np.stack([sound, right]))], "pcm_s16le")
    clip = read(path)
    assert tones(clip.waveform) == [{500: pytest.approx(0.5, rel=0.02)}] * SECONDS
    assert clip.remark is not None and "in 2 s" in clip.remark
    with OwnDecoder() as decoder:
        isolated = decoder.decode_clip(path, size=SIZE)
    assert isolated.waveform.tobytes() == clip.waveform.tobytes()
    assert (isolated.remark, isolated.audio_track) == (clip.remark, clip.audio_track)


def test_ordinary_stereo_is_the_mean_of_both(tmp_path: Path) -> None:
    tracks = [Track(np.stack([hertz(500), hertz(800)]))]
    clip = read(write_tracks(tmp_path / "a.mkv", tracks, "pcm_s16le"))
    half = pytest.approx(0.25, rel=0.02)
    assert tones(clip.waveform) == [{500: half, 800: half}] * SECONDS
    assert (clip.remark, clip.audio_track) == (None, (1,))


SOUND = arrays(
    np.float32, st.tuples(st.integers(2, 4), st.just(3)), elements=st.floats(-1, 1, width=32)
)


@given(levels=SOUND, seed=st.integers(0, 99))
def test_a_mix_keeps_the_level_of_its_channels(levels: np.ndarray, seed: int) -> None:
    """No second is louder than its loudest channel, and none loses nearly all of its energy."""
    rng = np.random.default_rng(seed)
    base = rng.uniform(-1, 1, (3, SAMPLE_RATE)).astype(np.float32)
    channels = (levels[:, :, None] * base).reshape(len(levels), -1)  # [C, 3 * 16000]
    everything = np.ones(levels.shape, bool)
    mixed, lost = mix_seconds(channels, everything)
    peaks = np.abs(channels).reshape(*levels.shape, -1).max(axis=(0, 2))
    assert (np.abs(mixed).reshape(3, -1).max(axis=1) <= peaks * (1 + 1e-6) + 1e-30).all()
    energy = np.square(mixed).reshape(3, -1).mean(axis=1)
    each = np.square(channels).reshape(*levels.shape, -1).mean(axis=2)
    audible = each.max(axis=0) > 2e-6
    assert (energy >= 0.19 * each.mean(axis=0) / len(levels))[audible].all()
    for second in range(3):  # decided without its neighbours
        part = slice(second * SAMPLE_RATE, (second + 1) * SAMPLE_RATE)
        alone, alone_lost = mix_seconds(channels[:, part], everything[:, :1])
        assert alone.tobytes() == mixed[part].tobytes() and alone_lost[0] == lost[second]


def write_with_cover(path: Path, *, first: bool, disposition: int, times: int = 1) -> Path:
    """A film whose second video track shows another picture."""
    with av.open(str(path), "w") as film:

        def add_cover() -> av.VideoStream:
            cover = film.add_stream("mjpeg", rate=1)
            cover.height, cover.width, cover.pix_fmt = 4 * SIZE[0], 4 * SIZE[1], "yuvj420p"
            cover.disposition = disposition
            return cover

        cover = add_cover() if first else None
        video = film.add_stream("libx264", rate=10, options=FAST["libx264"])
        video.height, video.width, video.pix_fmt = *SIZE, "yuv420p"
        cover = cover or add_cover()
        large = np.full((4 * SIZE[0], 4 * SIZE[1], 3), 255, np.uint8)
        packets = []
        for _ in range(times):
            packets += cover.encode(av.VideoFrame.from_ndarray(large, "rgb24"))
        packets += cover.encode(None)
        for number in range(20):
            packets += video.encode(av.VideoFrame.from_ndarray(numbered(number), "rgb24"))
        packets += video.encode(None)
        for packet in packets:
            film.mux(packet)
    return path


@pytest.mark.parametrize("ending", ["mp4", "mov"])
@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize(
    "disposition",
    [
        0,
        Disposition.default,
        Disposition.attached_pic,
        Disposition.default | Disposition.attached_pic,
    ],
)
def test_a_cover_is_never_the_film(
    ending: str, first: bool, disposition: int, tmp_path: Path
) -> None:
    path = write_with_cover(tmp_path / f"a.{ending}", first=first, disposition=disposition)
    clip = decode_clip(path, size=SIZE)
    assert clip.info.video_codec == probe(path).video_codec == "h264"
    assert numbers(clip.frames) == [5, 15] and clip.valid.all() and clip.problem is None


def test_a_clock_of_milliseconds_is_no_frame_rate(tmp_path: Path) -> None:
    """As a browser's MediaRecorder writes it: the header declares 1,000 pictures per second."""
    rng = np.random.default_rng(0)
    jitter = [0, *rng.integers(0, 12, 89).tolist()]
    times = [(33 * n + late) * TICKS // 1000 for n, late in enumerate(jitter)]
    path = write_film(tmp_path / "a.webm", times=times, rate=1000, video_codec="libvpx")
    with av.open(str(path)) as film:
        assert (
            max(film.streams.video[0].average_rate or 0, film.streams.video[0].guessed_rate) > 999
        )
    clip = decode_clip(path, size=SIZE)
    shown = [max(n for n, time in enumerate(times) if time <= TICKS * at) for at in (0.5, 1.5, 2.5)]
    assert numbers(clip.frames) == shown and clip.valid.all() and clip.problem is None


def test_slow_motion_of_a_phone_is_read(tmp_path: Path) -> None:
    path = write_film(tmp_path / "a.mp4", seconds=2, rate=240)
    assert numbers(decode_clip(path, size=SIZE).frames) == [120, 360 % 256]


@pytest.mark.parametrize("every_picture", [False, True])
def test_a_true_thousand_a_second_is_refused(every_picture: bool, tmp_path: Path) -> None:
    path = write_film(tmp_path / "a.mp4", seconds=1, rate=1000)
    settings = DecodeSettings(every_picture=every_picture)
    with pytest.raises(MediaError, match=r"holds \d+ frames .*limit of 300.*max_frame_rate"):
        decode_clip(path, size=SIZE, settings=settings)
    generous = DecodeSettings(every_picture=every_picture, max_frame_rate=1_000)
    assert decode_clip(path, size=SIZE, settings=generous).valid.all()


def test_a_burst_in_a_slow_film_is_no_frame_rate(tmp_path: Path) -> None:
    burst = [n * TICKS // 1000 for n in range(200)]
    times = burst + [TICKS * second for second in range(1, 5)]
    clip = decode_clip(write_film(tmp_path / "a.mkv", times=times), size=SIZE)
    assert numbers(clip.frames)[1:4] == [200, 201, 202]


@pytest.mark.parametrize(
    "name",
    [
        *("antiphase.mp4", "chrome_jitter.webm", "cover_default.mp4"),
        *("two_audio_first_silent.mp4", "x.ogv", "x.wmv"),
    ],
)
def test_real_files_show_and_play_every_second(name: str, shared: Path) -> None:
    """Second s has the tone 400 + 150 s Hz; their colours are all different."""
    clip = read(shared / "awkward" / "timing" / name)
    assert clip.valid.tolist() == [True] * 8 and clip.problem is None
    assert names_of(clip.waveform) == [{400 + 150 * second} for second in range(8)]
    colours = clip.frames[:, 0, SIZE[0] // 2 :, SIZE[1] // 2 :].mean(axis=(1, 2))  # [8, 3]
    distances = np.abs(colours[:, None] - colours[None]).max(axis=2)
    assert (distances[~np.eye(8, dtype=bool)] > 50).all()
