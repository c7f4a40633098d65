"""Fixtures that every test folder shares."""

from __future__ import annotations

import gc
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

from avel_tf.engines.settings import EngineSettings
from avel_tf.utils.durable_files import exclusive_lock

if TYPE_CHECKING:
    from avel_tf.embeddings import FeatureExtractor
    from avel_tf.features.feature_store import FeatureStore

# Before any test imports TensorFlow: its start-up messages drown what pytest has to say, and a
# machine with a GPU must give the numbers that the tests were written against.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

# Many tests start processes, which would compile this package again each time.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# Tests that import OpenVINO themselves must not send usage data, as `load_openvino` does not:
# its telemetry forks the process, and the fork hangs where no network answers.
sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]

# Processes of pytest-xdist share the processors out, before any library counts them: the threads of
# TensorFlow and OpenVINO wait for each other busily, and would take twice the processor time. All
# get equally many, because TensorFlow's last bits depend on the number of threads.
if worker := os.environ.get("PYTEST_XDIST_WORKER"):
    processors = sorted(os.sched_getaffinity(0))
    share = max(1, len(processors) // int(os.environ["PYTEST_XDIST_WORKER_COUNT"]))
    first = int(worker[2:]) * share % len(processors)
    os.sched_setaffinity(0, processors[first : first + share])

# Whoever starts the tests in the background has Ctrl-C ignored, and children inherit that; some
# tests send it to them.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# How long an example takes says more of what else the machine does than of the code.
# Examples are the same in every run, so that a change is not blamed for what chance finds;
# `make fuzz` draws new ones.
hypothesis.settings.register_profile(
    "patient", hypothesis.settings(deadline=None, derandomize="AVEL_MUTANTS" not in os.environ)
)
hypothesis.settings.load_profile("patient")

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.hookimpl(trylast=True)  # of the tests that were chosen
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order files so that no process waits for another one to make what they share.

    The first file makes it, and files that do not need it follow.
    """
    needs = {item.path for item in items if "run_folder" in getattr(item, "fixturenames", ())}
    first = min(needs, default=None)
    items.sort(key=lambda item: (item.path != first, item.path in needs))


def pytest_collection_finish() -> None:
    """Leave modules and tests, which live as long as the process, out of searches for garbage.

    Other objects, mostly graphs of TensorFlow, are searched more rarely than by default, too.
    """
    gc.freeze()
    gc.set_threshold(10_000, 10, 10)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real weights, clips and odd files that may lie beside the project."""
    if not SHARED.is_dir():
        pytest.skip(f"real weights and clips are absent: {SHARED} is not a folder")
    return SHARED


@pytest.fixture(scope="session", autouse=True)
def cache_of_engines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache of the tests' own, so that nothing they find was left by an earlier run."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder))
        yield folder


@pytest.fixture(scope="session", autouse=True)
def temporary_files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A folder for temporary files, so that children that are killed leave nothing in the system's.

    TensorFlow's exporter, for one, writes Python files there and removes them when it ends.
    """
    folder = tmp_path_factory.mktemp("tmp")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(folder))
        patch.setattr(tempfile, "tempdir", None)  # it is looked up again
        yield


# A data set and a network that are as small as they can be: these fixtures are made once, and
# tests read them without changing them. TensorFlow is imported only where a test asks for them.
CLASSES = ("Bark", "Church bell", "Helicopter")
FRAMES_PER_SECOND = 2
# So that features made here are to the bit those of the fixture `store`.
EXACT_ENGINE = ("engine.name=tensorflow", "engine.precision=float32")
COMPACT_SETTINGS = (
    "embeddings.visual.module=compact",
    "embeddings.audio.module=compact",
    f"embeddings.visual.frames_per_second={FRAMES_PER_SECOND}",
    *EXACT_ENGINE,
)
TINY_TRAINING = (
    "training.epochs=2",
    "training.batch_size=4",
    "model.width=16",
    "model.heads=2",
    "model.lstm_units=8",
)


# Settings for `avel train` where the network does not matter: without an LSTM, whose graph takes as
# long to make as everything else, a run takes half of the time.
QUICK_TRAINING = (
    "training.epochs=2",
    "training.batch_size=4",
    "model.name=audio_only",
    "model.width=8",
    "model.heads=2",
    "model.lstm_units=0",
)


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Makes a folder once for all processes of pytest-xdist, which run side by side.

    It is called with a name and a function that fills the folder it is given.
    """
    base = tmp_path_factory.getbasetemp()
    # Each worker has a folder of its own in that of the session.
    shared = base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base

    def make(name: str, fill: Callable[[Path], object]) -> Path:
        folder = shared / f"once-{name}"
        done = shared / f"once-{name}.done"
        with exclusive_lock(shared / f"once-{name}.lock"):
            if not done.exists():
                fill(folder)
                done.touch()
        return folder

    return make


# The arithmetic that numbers are compared in, whatever this machine has that is faster.
FLOAT32 = EngineSettings("tensorflow", "float32")


def as_set(settings: Iterable[str]) -> list[str]:
    """Settings as a command line spells them."""
    return [word for setting in settings for word in ("--set", setting)]


@pytest.fixture(scope="session")
def clips(made_once: Callable[..., Path]) -> Path:
    """A data set of 14 clips of four seconds, as `annotations.csv` and mp4 files."""
    from avel_tf.synthesis.dataset import SynthesisSettings, make_dataset

    settings = SynthesisSettings(
        seconds=4, width=96, height=72, frame_rate=8.0, shortest_event=2, classes=CLASSES
    )

    def fill(folder: Path) -> None:
        make_dataset(folder / "clips", train=7, validation=3, test=4, settings=settings, workers=1)

    return made_once("data", fill) / "clips"


@pytest.fixture(scope="session")
def extractor() -> FeatureExtractor:
    """The compact backbones at two pictures a second."""
    from avel_tf.embeddings import (
        AudioSettings,
        EmbeddingSettings,
        VisualSettings,
        load_extractor,
    )

    visual = VisualSettings(module="compact", frames_per_second=FRAMES_PER_SECOND)
    return load_extractor(EmbeddingSettings(visual, AudioSettings(module="compact")))


@pytest.fixture(scope="session")
def store(clips: Path, extractor: FeatureExtractor, made_once: Callable[..., Path]) -> FeatureStore:
    """The features of `clips`."""
    from avel_tf.datasets import load_dataset
    from avel_tf.features.extract import extract_features
    from avel_tf.features.feature_store import FeatureStore

    def fill(folder: Path) -> None:
        extract_features(load_dataset(clips), extractor, folder / "clips", engine=FLOAT32)

    return FeatureStore(made_once("features", fill) / "clips")


@pytest.fixture(scope="session")
def run_folder(store: FeatureStore, made_once: Callable[..., Path]) -> Path:
    """What `avel train` writes after two epochs on `store`, whose backbones it has to take over."""
    from avel_tf.cli.main import main

    def fill(folder: Path) -> None:
        words = ["train", str(store.folder), "--out", str(folder / "tiny")]
        assert main([*words, *as_set(EXACT_ENGINE + TINY_TRAINING)]) == 0

    return made_once("runs", fill) / "tiny"


@pytest.fixture(scope="session")
def exported(run_folder: Path, made_once: Callable[..., Path]) -> Path:
    """The first version of what `avel export` makes of `run_folder`."""
    from avel_tf.cli.main import main

    def fill(folder: Path) -> None:
        assert main(["export", str(run_folder), "--out", str(folder / "tiny")]) == 0

    return made_once("saved_models", fill) / "tiny" / "1"
