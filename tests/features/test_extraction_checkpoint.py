"""avel extract, cut off: the features that are done are kept, and the store is the same."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from avel_tf.cli.main import main
from avel_tf.datasets import load_dataset
from avel_tf.engines.available import REFERENCE
from avel_tf.features import extract
from avel_tf.features.extract import extract_features
from avel_tf.features.extraction_checkpoint import ATTEMPTS, ExtractionCheckpoint
from avel_tf.features.feature_store import FeatureStore, FeatureStoreError
from avel_tf.features.features import Features
from avel_tf.utils.durable_files import JournalFile
from avel_tf.video.decode_settings import DecodeSettings
from avel_tf.video.segment_loader import DecodeStatus
from tests.conftest import COMPACT_SETTINGS, as_set
from tests.processes import wait_until
from tests.video.hostile import POISON

ROOT = Path(__file__).resolve().parents[2]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


class Engine:
    """Takes a mean and the first samples for features, instead of those of the backbones."""

    batch_seconds = 10

    def __init__(self, extractor) -> None:
        self._recipe = extractor.recipe

    def embed(self, stream):
        for batch in stream.batches(self.batch_seconds):
            means = batch.frames.mean(axis=(1, 2, 3, 4), dtype="float32")[:, None]
            visual = means.repeat(self._recipe.visual.width, axis=1)
            yield batch, visual, batch.waveform[:, : self._recipe.audio.width]


def use_engine(engine: Engine, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(extract, "choose_engine", lambda *_: REFERENCE)
    patch.setattr(extract, "make_engine", lambda *_: engine)


@pytest.fixture
def small_groups(monkeypatch, extractor):
    """Three videos a group: 7, 3 and 4 videos make three, one and two."""
    monkeypatch.setattr(extract, "GROUP_VIDEOS", 3)
    use_engine(Engine(extractor), monkeypatch)


@pytest.fixture(scope="module")
def whole(clips, extractor, tmp_path_factory) -> Path:
    """The features of an extraction that nothing has interrupted."""
    folder = tmp_path_factory.mktemp("whole") / "features"
    with pytest.MonkeyPatch.context() as patch:
        use_engine(Engine(extractor), patch)
        return extract_features(load_dataset(clips), extractor, folder).folder


@pytest.fixture
def embedded(monkeypatch) -> list[int]:
    """Number of files of each call of the decoder."""
    calls = []
    stream = extract.SegmentLoader

    def spy(requests, **options):
        calls.append(len(requests))
        return stream(requests, **options)

    monkeypatch.setattr(extract, "SegmentLoader", spy)
    return calls


def stopping_after(videos: int):
    def progress(done: int, of: int) -> None:
        if done == videos:
            raise KeyboardInterrupt

    return progress


@pytest.mark.parametrize("stop", [1, 3, 5, 8, 14])
def test_a_resumed_extraction_skips_finished_groups(
    clips, extractor, whole, tmp_path, small_groups, embedded, stop
):
    dataset = load_dataset(clips)
    out = tmp_path / "features"
    with pytest.raises(KeyboardInterrupt):
        extract_features(dataset, extractor, out, progress=stopping_after(stop))
    assert embedded == [7, 3, 4][: len(embedded)]
    left = [path.name for path in tmp_path.iterdir()]
    assert left == ([".features.resume"] if stop > 3 else [])
    embedded.clear()
    done = []
    extract_features(dataset, extractor, out, progress=lambda n, of: done.append(n))
    # Whole groups of three, three, one; three; three and one are kept.
    kept = max(videos for videos in (0, 3, 6, 7, 10, 13) if videos < stop)
    assert sum(embedded) == 14 - kept and done[-1] == 14
    assert contents(out) == contents(whole)
    assert [path.name for path in tmp_path.iterdir()] == ["features"]


def test_another_plan_or_a_damaged_group_is_done_again(
    clips, extractor, tmp_path, small_groups, embedded
):
    dataset = load_dataset(clips)
    out = tmp_path / "features"

    def begin(**options):
        with pytest.raises(KeyboardInterrupt):
            extract_features(dataset, extractor, out, progress=stopping_after(8), **options)
        embedded.clear()

    begin(media=DecodeSettings(max_seconds=100.0))
    extract_features(dataset, extractor, out)
    assert sum(embedded) == 14
    begin(data=extract.DataSettings(workers=1))
    group = tmp_path / ".features.resume" / "train-00001.npz"
    group.write_bytes(group.read_bytes()[:-30])
    extract_features(dataset, extractor, out)
    assert sum(embedded) == 14 - 4


def test_groups_come_back_as_they_were_and_for_one_process_only(tmp_path):
    rng = np.random.default_rng(0)
    features = Features(
        rng.normal(size=(3, 5)).astype("float32"),
        rng.normal(size=(3, 2)).astype("float32"),
        np.array([True, False, True]),
    )
    group = [
        (features, DecodeStatus(3, 3.2, False, "cut")),
        (None, DecodeStatus(0, error="\udcff\n")),
    ]
    with ExtractionCheckpoint(tmp_path / "f", {"plan": 1}) as groups:
        assert groups.load("train-00000") is None
        groups.save("train-00000", group)
        with (
            pytest.raises(FeatureStoreError, match="Another run is extracting"),
            ExtractionCheckpoint(tmp_path / "f", {"plan": 1}),
        ):
            pass
    with ExtractionCheckpoint(tmp_path / "f", {"plan": 1}) as groups:
        (found, outcome), (nothing, error) = groups.load("train-00000")
        assert outcome == group[0][1] and error == group[1][1] and nothing is None
        for key in ("visual", "audio", "valid"):
            assert getattr(found, key).tobytes() == getattr(features, key).tobytes()
            assert getattr(found, key).dtype == getattr(features, key).dtype
    with ExtractionCheckpoint(tmp_path / "f", {"plan": 2}) as groups:
        assert groups.load("train-00000") is None
        groups.discard()
    assert list(tmp_path.iterdir()) == []


class Deadly:
    """Makes an extraction die when a file is opened; which one, and in what company, is settable.

    An error that nobody expects counts as a death, so no process has to be killed for it.
    """

    def __init__(self, monkeypatch) -> None:
        self.name = ""
        self.company = 0  # how many other files must be in the same stream at least
        self.times = 99
        self.streams: list[list[str]] = []
        real = extract.SegmentLoader

        def stream(requests, *, on_open, **options):
            names = [str(request.path) for request in requests]
            self.streams.append(names)

            def opened(place: int) -> None:
                on_open(place)
                if names[place] == self.name and len(names) > self.company and self.times:
                    self.times -= 1
                    raise RuntimeError("nobody expects this")

            return real(requests, on_open=opened, **options)

        monkeypatch.setattr(extract, "SegmentLoader", stream)


@pytest.fixture
def deadly(monkeypatch, small_groups) -> Deadly:
    return Deadly(monkeypatch)


def test_a_file_on_which_runs_die_is_left_out(clips, extractor, tmp_path, deadly):
    dataset = load_dataset(clips)
    poison = dataset.split("train")[4]
    deadly.name = str(poison.path)
    out = tmp_path / "features"
    for _ in range(2):
        with pytest.raises(Exception, match="nobody expects this"):
            extract_features(dataset, extractor, out)
        assert not out.exists()
    deadly.streams.clear()
    done = []
    store = extract_features(dataset, extractor, out, progress=lambda n, of: done.append(n))
    (left_out,) = store.skipped
    assert left_out["video"] == poison.id and "the run died twice" in left_out["reason"]
    assert store.count("train") == 6 and store.count("test") == 4 and done[-1] == 14
    assert done == sorted(set(done))  # nobody counts twice
    assert all(deadly.name not in names for names in deadly.streams)
    assert [path.name for path in tmp_path.iterdir()] == ["features"]


def test_an_innocent_file_comes_out_with_the_same_bytes(clips, extractor, whole, tmp_path, deadly):
    dataset = load_dataset(clips)
    out = tmp_path / "features"
    deadly.name, deadly.times = str(dataset.split("train")[4].path), 1
    with pytest.raises(Exception, match="nobody expects this"):
        extract_features(dataset, extractor, out)
    deadly.streams.clear()
    extract_features(dataset, extractor, out)
    assert [deadly.name] in deadly.streams  # it was tried alone
    assert contents(out) == contents(whole)


def test_files_that_are_deadly_only_together_are_done_alone(clips, extractor, tmp_path, deadly):
    dataset = load_dataset(clips)
    deadly.name, deadly.company = str(dataset.split("train")[1].path), 1
    out = tmp_path / "features"
    with pytest.raises(Exception, match="nobody expects this"):
        extract_features(dataset, extractor, out)
    deadly.streams.clear()
    store = extract_features(dataset, extractor, out)
    assert store.skipped == [] and store.count("train") == 7
    assert [deadly.name] in deadly.streams
    assert all(deadly.name not in names for names in deadly.streams if len(names) > 1)


def test_a_full_disk_blames_no_file(clips, extractor, tmp_path, deadly, monkeypatch):
    dataset = load_dataset(clips)
    out = tmp_path / "features"
    append = JournalFile.append

    def full(log, record):
        if record.get("begin") == "train/4":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return append(log, record)

    with monkeypatch.context() as patch:
        patch.setattr(JournalFile, "append", full)
        with pytest.raises(OSError, match="No space left"):
            extract_features(dataset, extractor, out)
    deadly.streams.clear()
    assert extract_features(dataset, extractor, out).skipped == []
    assert all(len(names) > 1 for names in deadly.streams)  # nobody was tried alone


def test_another_plan_forgets_what_files_did(tmp_path):
    for plan, expected in ((1, 0), (1, 1), (2, 0)):
        with (
            pytest.raises(RuntimeError),
            ExtractionCheckpoint(tmp_path / "f", {"plan": plan}) as groups,
        ):
            assert groups.attempts.died_together["a"] == expected
            groups.attempts.begin("a")
            raise RuntimeError


def extract_words(data: Path, out: Path) -> list[str]:
    return ["extract", str(data), *as_set(COMPACT_SETTINGS), "--out", str(out)]


# A run for each line of input, in processes that share the import of TensorFlow.
RUNS = """
import os
import sys
import avel_tf.features.extract
from avel_tf.cli.main import main

for _ in sys.stdin:
    pid = os.fork()
    if not pid:
        os._exit(main(sys.argv[1:]))
    print(pid, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""


def start_runs(code: str, words: list[str]) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", code + RUNS, *words],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        bufsize=1,
    )


@pytest.mark.slow
def test_a_file_that_kills_the_process_is_left_out(clips, tmp_path, capsys):
    data = tmp_path / "data"
    shutil.copytree(clips / "videos", data / "videos")
    table = (clips / "annotations.csv").read_text()
    name = table.splitlines()[2].split(",")[0]
    poison = Path(name).with_name("is_killed.mp4")
    (data / "annotations.csv").write_text(table.replace(name, str(poison)))
    (data / name).rename(data / poison)
    words = [*extract_words(data, tmp_path / "features"), "--set", "media.isolated=false"]
    printed, errors = start_runs(POISON, words).communicate("\n\n")
    assert printed.split()[1::2] == [str(-signal.SIGKILL)] * 2, errors
    # Were the file opened here, its features would be kept.
    assert main(words) == 2
    printed = capsys.readouterr().out
    assert printed.count("skipped: ") == 1 and "the run died twice" in printed


# A film takes its time, so that there is one in hand when the signal comes.
SLOW = """
import time
import avel_tf.video.source as source

open_regular = source._open_regular

def slow(path, follow_links):
    time.sleep(0.5)
    return open_regular(path, follow_links)

source._open_regular = slow
"""


@pytest.mark.slow
def test_terminated_and_killed_it_goes_on(clips, store, tmp_path):
    """SIGTERM blames no file: it is how a cluster takes a machine back."""
    out = tmp_path / "features"
    words = extract_words(clips, out)
    log = tmp_path / ".features.resume" / ATTEMPTS
    runs = start_runs(SLOW, words)

    def end(file: bytes, number: signal.Signals) -> int:
        """Ends a run when it has opened a file; returns its exit status."""
        runs.stdin.write("\n")
        pid = int(runs.stdout.readline())
        wait_until(lambda: log.exists() and file in log.read_bytes(), runs)
        os.kill(pid, number)
        return int(runs.stdout.readline())

    # The tenth video belongs to the second split: the group of the first is kept.
    terminated = end(b"validation/1", signal.SIGTERM)
    in_hand = {each["begin"] for each in map(json.loads, log.open()) if "begin" in each}
    in_hand -= {each["end"] for each in map(json.loads, log.open()) if "end" in each}
    assert in_hand  # or this would show nothing
    killed = end(b"test/1", signal.SIGKILL)
    _, errors = runs.communicate()
    assert (terminated, killed) == (130, -signal.SIGKILL), errors
    assert errors.count("Interrupted.") == 1 and "Traceback" not in errors
    assert "alone" not in errors  # nobody was suspected
    assert not out.exists() and main(words) == 0
    assert FeatureStore(out).digests == store.digests
    assert [path.name for path in tmp_path.iterdir()] == ["features"]
