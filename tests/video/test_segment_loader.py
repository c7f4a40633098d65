"""Files as one stream of seconds: which second belongs to which file."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import numpy as np
import pytest

from avel_tf.engines.engine import backbone_graphs
from avel_tf.engines.tensorflow_engine import TensorFlowEngine
from avel_tf.features.features import embed_files
from avel_tf.features.settings import DataSettings
from avel_tf.video import segment_loader
from avel_tf.video.decode_request import DecodeRequest
from avel_tf.video.decode_settings import DecodeSettings
from avel_tf.video.errors import MediaError
from avel_tf.video.isolated.decoder import shared_decoder
from avel_tf.video.segment_loader import SegmentLoader, segments_per_batch
from avel_tf.video.stream_decoder import decode_in_process
from tests.processes import wait_until
from tests.video.films import clicks, write_film
from tests.video.hostile import POISON, decoder_pids
from tests.video.in_process import decode_clip

SECONDS = (3, 13, 1, 2, 5)  # shorter and longer than a block of ten seconds
BROKEN = 2  # the place in `films` of the file that is none
SIZE = 128


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Five films that differ in every second, and a text file in their midst."""
    folder = tmp_path_factory.mktemp("films")
    rng = np.random.default_rng(0)
    paths = []
    for number, seconds in enumerate(SECONDS):
        path = folder / f"{number}.mp4"
        pictures = [
            np.full((64, 128, 3), rng.integers(0, 256, 3), np.uint8) for _ in range(4 * seconds)
        ]
        sound = rng.uniform(-0.3, 0.3, seconds * 48_000) * np.repeat(
            rng.uniform(0.1, 1.0, seconds), 48_000
        )
        sound = sound.astype("float32") if number != 3 else None
        write_film(path, seconds=seconds, rate=4, pictures=pictures, sound=sound)
        paths.append(path)
    (folder / "notes.mp4").write_text("no film")
    paths.insert(BROKEN, folder / "notes.mp4")
    return paths


def stream_of(films: list[Path], workers: int, **settings: object) -> SegmentLoader:
    limits = settings.pop("settings", DecodeSettings())
    requests = [DecodeRequest(path, 2, (SIZE, SIZE), settings=limits) for path in films]
    return SegmentLoader(requests, workers=workers, **settings)


def read(stream: SegmentLoader, batch_seconds: int = 5) -> list[tuple[int, bytes]]:
    """Each second's file, and its pictures and sound."""
    found = []
    for batch in stream.batches(batch_seconds):
        for frames, waveform in zip(batch.frames, batch.waveform, strict=True):
            found.append((batch.file, frames.tobytes() + waveform.tobytes()))
    return found


@pytest.mark.parametrize(("seconds", "workers"), [(1, 3), (2, 1), (5, 3), (10, 1)])
def test_batches_of_a_file_depend_on_its_length_alone(films, seconds, workers):
    """A segment's place in its batch decides its last bits on some processors."""
    sizes: dict[int, list[int]] = {}
    for batch in stream_of(films, workers).batches(seconds):
        n = len(batch.valid)
        assert batch.frames.shape == (n, 2, SIZE, SIZE, 3) and batch.frames.dtype == "uint8"
        assert batch.waveform.shape == (n, 16_000) and batch.waveform.dtype == "float32"
        assert batch.valid.dtype == "bool"
        sizes.setdefault(batch.file, []).append(n)
    for file, length in enumerate((3, 13, 0, 1, 2, 5)):
        whole, rest = divmod(length, seconds)
        assert sizes.get(file, []) == [seconds] * whole + [rest] * bool(rest)


@pytest.mark.parametrize("seconds", [0, 3, 20])
def test_a_batch_must_divide_a_block(films, seconds):
    with pytest.raises(ValueError, match=f"must divide 10. Received: {seconds}"):
        next(stream_of(films, 1).batches(seconds))


def test_a_batch_holds_whole_segments():
    for images, rate, expected in [
        (20, 1, 10),
        (20, 2, 10),
        (10, 2, 5),
        (10, 3, 2),
        (20, 16, 1),
        (1, 2, 1),
        (256, 16, 10),
    ]:
        assert segments_per_batch(images, rate) == expected


def test_read_again_it_is_the_same(films):
    stream = stream_of(films, 1)
    first = read(stream)
    assert read(stream) == first
    counts = np.bincount([file for file, _ in first], minlength=len(films))
    assert counts.tolist() == [3, 13, 0, 1, 2, 5]


@pytest.mark.parametrize("workers", [1, 4])
def test_the_seconds_of_each_file_are_its_own_in_their_order(films, workers):
    """Whatever is decoded beside it."""
    found: dict[int, list[bytes]] = {}
    for file, content in read(stream_of(films, workers)):
        found.setdefault(file, []).append(content)
    for number, path in enumerate(films):
        if number == BROKEN:
            assert number not in found
            continue
        clip = decode_clip(path, frames_per_second=2, size=(SIZE, SIZE))
        sound = clip.waveform.reshape(-1, 16_000)
        expected = [f.tobytes() + w.tobytes() for f, w in zip(clip.frames, sound, strict=True)]
        assert found[number] == expected


def test_how_each_file_ended(films):
    stream = stream_of(films, 3)
    read(stream)
    assert sorted(stream.outcomes) == list(range(len(films)))
    broken = stream.outcomes[BROKEN]
    assert broken.seconds == 0 and "notes.mp4" in broken.error
    for number, outcome in stream.outcomes.items():
        if number == BROKEN:
            continue
        assert outcome.error is None and outcome.problem is None
        assert outcome.has_sound == (number != 4)  # the fourth film, behind the text file
    assert stream.outcomes[1].duration == pytest.approx(13, abs=0.2)
    assert stream.outcomes[1].seconds == 13


@pytest.mark.parametrize("limit", [1, 10, 12])
def test_a_limit_cuts_long_files_only(films, limit):
    stream = stream_of(films, 2, limit=limit)
    counts = np.bincount([file for file, _ in read(stream)], minlength=len(films))
    assert counts.tolist() == [min(n, limit) for n in (3, 13, 0, 1, 2, 5)]
    assert [stream.outcomes[n].seconds for n in range(len(films))] == counts.tolist()


def test_a_file_that_breaks_off_is_named(films, tmp_path):
    """Half of a film's packets: its seconds come, and the outcome says what is wrong."""
    whole = tmp_path / "whole.mkv"
    write_film(whole, seconds=6, rate=4, sound=clicks(6, 48_000))
    half = tmp_path / "half.mkv"
    half.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    stream = stream_of([half, films[0]], 2)
    files = [file for file, _ in read(stream)]
    assert stream.outcomes[0].problem and stream.outcomes[0].error is None
    assert 0 < files.count(0) <= 6 and files.count(1) == 3


def test_a_film_that_dies_midway_keeps_its_good_seconds(films, monkeypatch):
    """What killed its decoder after the first block is told beside them."""

    def dying(request):
        yield next(decode_in_process(request))
        raise MediaError(request.path, "the decoder was killed by signal 11 (SIGSEGV)")

    monkeypatch.setattr(segment_loader, "decode", dying)
    stream = stream_of(films[1:2], 1, settings=DecodeSettings(isolated=False))
    assert len(read(stream)) == 10
    outcome = stream.outcomes[0]
    assert outcome.seconds == 10 and outcome.error is None and "SIGSEGV" in outcome.problem


@pytest.mark.parametrize(
    ("workers", "pictures"),
    [
        (3, 2),
        *(pytest.param(*each, marks=pytest.mark.slow) for each in ((1, 8), (2, 128))),
    ],
)
def test_features_are_those_of_each_file_alone(films, extractor, workers, pictures):
    """Batches mix seconds of several files; what comes out must not."""
    engine = TensorFlowEngine(backbone_graphs(extractor), batch_pictures=pictures)
    results = list(embed_files(stream_of(films, workers), engine))
    assert [index for index, _, _ in results] == list(range(len(films)))
    for index, features, outcome in results:
        if index == BROKEN:
            assert features is None and outcome.error
            continue
        clip = decode_clip(films[index], frames_per_second=2, size=(SIZE, SIZE))
        visual, audio = extractor(clip.frames[None], clip.waveform[None])
        assert features.visual.dtype == features.audio.dtype == np.float32
        np.testing.assert_allclose(features.visual, visual[0], atol=1e-5)
        np.testing.assert_allclose(features.audio, audio[0], atol=1e-4)
        np.testing.assert_array_equal(features.valid, clip.valid)


def test_files_come_out_as_soon_as_they_are_done(films, extractor):
    """A caller that writes line by line must not wait for the last film."""
    opened = []
    stream = stream_of(films[:2] * 6, 1, on_open=opened.append)
    embedded = embed_files(stream, TensorFlowEngine(backbone_graphs(extractor), batch_pictures=4))
    next(embedded)
    assert len(opened) < 9


def test_no_files(extractor):
    assert list(embed_files(stream_of([], 2), TensorFlowEngine(backbone_graphs(extractor)))) == []


def test_no_further_file_is_opened_when_it_is_to_finish(films):
    """And those in hand come out whole."""
    opened: list[int] = []
    stream = stream_of(
        films[:2] * 6, 2, on_open=opened.append, should_stop=lambda: len(opened) >= 3
    )
    counts = np.bincount([file for file, _ in read(stream)], minlength=12)
    assert 3 <= len(opened) <= 4  # one thread may have asked just before the other opened
    for file in range(12):
        assert counts[file] == ((3, 13)[file % 2] if file in opened else 0)
    assert sorted(stream.outcomes) == sorted(opened)


def test_an_error_while_a_file_is_opened_comes_out_as_itself(films):
    def on_open(file: int) -> None:
        if file == 3:
            raise OSError("the disk is full")

    stream = stream_of(films[:2] * 3, 2, on_open=on_open)
    with pytest.raises(OSError, match="the disk is full"):
        read(stream)
    assert isinstance(stream.failure, OSError)


def test_odd_names_are_files_like_others(films, tmp_path):
    names = ["a b.mp4", "ä\u202e.mp4", "line\nbreak.mp4", "-rf.mp4", "\udcff.mp4"]
    for name in names:
        shutil.copyfile(films[0], tmp_path / name)
    stream = stream_of([str(tmp_path / name) for name in names], 2)
    assert len(read(stream)) == 3 * len(names)
    assert all(outcome.error is None for outcome in stream.outcomes.values())


def test_settings_have_limits():
    for wrong in ({"workers": 0}, {"spec_augment_copies": -1}):
        name, value = next(iter(wrong.items()))
        with pytest.raises(ValueError, match=rf"data\.{name} must.*Received: {value}"):
            DataSettings(**wrong)
    assert DataSettings(workers=3).resolved_workers == 3
    assert DataSettings().resolved_workers >= 1


def test_isolation_changes_nothing(films):
    isolated = stream_of(films, 2)
    plain = stream_of(films, 2, settings=DecodeSettings(isolated=False))
    assert isolated.requests[0].settings.isolated
    assert sorted(read(isolated)) == sorted(read(plain))
    assert isolated.outcomes == plain.outcomes


@pytest.mark.slow
def test_a_film_that_kills_its_decoder_costs_itself_alone(films, tmp_path, monkeypatch):
    """Every other file comes out whole, in its place, with several decoders at work."""
    (tmp_path / "sitecustomize.py").write_text(POISON)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    shared_decoder().close()
    shared_decoder.cache_clear()  # so that its children know the poison
    paths = [films[0]] * 9
    for place, name in ((2, "aborts.mp4"), (5, "hangs.mp4"), (6, "crashes.mp4")):
        paths[place] = tmp_path / name
        shutil.copyfile(films[0], paths[place])
    stream = stream_of(paths, 3, settings=DecodeSettings(max_stall_seconds=1))
    counts = np.bincount([file for file, _ in read(stream)], minlength=9)
    assert counts.tolist() == [3, 3, 0, 3, 3, 0, 0, 3, 3]
    assert "SIGABRT" in stream.outcomes[2].error
    assert "hung" in stream.outcomes[5].error
    assert "SIGSEGV" in stream.outcomes[6].error
    assert sorted(n for n, outcome in stream.outcomes.items() if outcome.error) == [2, 5, 6]
    shared_decoder().close()
    shared_decoder.cache_clear()


def test_a_reader_that_stops_early_leaves_no_decoder_at_work(films):
    stream = stream_of(films[1:2] * 4, 2)
    threads = threading.active_count()
    for _ in range(2):
        batches = stream.batches(2)
        next(batches)
        batches.close()
    assert read(stream)
    # A thread notices when its next block is there.
    wait_until(
        lambda: (
            threading.active_count() <= threads
            and not set(decoder_pids()) - set(shared_decoder().idle_pids)
        )
    )
