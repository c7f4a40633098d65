"""Training on several workers: real processes on this machine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from avel_tf.cli.main import main
from avel_tf.features.feature_store import WHOLE, FeatureStore, Part
from avel_tf.models import load_model
from avel_tf.reports.training_figures import read_history
from avel_tf.training.fit import MODEL, fit
from avel_tf.training.local_workers import WORKER_LOST, free_ports
from tests.conftest import QUICK_TRAINING, as_set
from tests.processes import HANGS, wait_until
from tests.training.stores import records, write_store
from tests.training.worker import PLAIN, plain_training


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    """16 windows for training; none for validation, so the last epoch is kept."""
    folder = tmp_path_factory.mktemp("store") / "features"
    return write_store(folder, train=records("train", 16), test=records("test", 6))


# An epoch is one step of all windows, so their order has no effect; the parts of three workers are
# unequal.
BATCH = 18


@pytest.fixture(scope="module")
def weights(store: FeatureStore, tmp_path_factory: pytest.TempPathFactory) -> list[np.ndarray]:
    """What one process learns."""
    folder = tmp_path_factory.mktemp("alone")
    model = fit(store, folder, model_settings=PLAIN, training=plain_training(BATCH))
    return model.get_weights()


def test_parts_make_up_a_split(tmp_path: Path) -> None:
    store = write_store(tmp_path / "features", train=records("train", 5))

    def ids(part: Part) -> list[bytes]:
        found = [record["id"] for record in store.dataset("train", part=part).as_numpy_iterator()]
        assert found == [each["id"] for each in store.seconds("train", part).as_numpy_iterator()]
        return found

    for count in (2, 6):
        parts = [ids(Part(index, count)) for index in range(count)]
        assert sorted(sum(parts, [])) == sorted(ids(WHOLE))
        assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_files_are_shared_where_there_are_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("avel_tf.features.feature_store.RECORDS_PER_SHARD", 3)
    store = write_store(tmp_path / "features", train=records("train", 8))
    parts = [store.dataset("train", part=Part(index, 2)).as_numpy_iterator() for index in (0, 1)]
    first, second = ([int(record["id"][5:]) for record in part] for part in parts)
    # Three files, to which the records were dealt in turn: the first and the last are one part.
    assert first == [0, 2, 3, 5, 6] and second == [1, 4, 7]


class OnlyWorker:
    """The only one of its workers, so that sums over all are its own numbers."""

    index, count, is_chief, part = 0, 1, True, WHOLE

    def add(self, tensors: Sequence) -> list[tf.Tensor]:
        return [tf.convert_to_tensor(each) for each in tensors]

    def from_chief(self, number: int) -> int:
        return number

    def broadcast(self, variables: Sequence) -> None:
        pass

    def checksums(self, variables: Sequence) -> list[int]:
        return [0]


def assert_learned(run: Path, expected: list[np.ndarray]) -> None:
    """The weights of a run, and a loss that falls."""
    for one, other in zip(load_model(run / MODEL).get_weights(), expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
    losses = [row["loss"] for row in read_history(run / "history.csv")]
    assert losses == sorted(losses, reverse=True)


@pytest.mark.slow
def test_steps_of_workers_are_those_of_one_process(
    store: FeatureStore, weights: list[np.ndarray], tmp_path: Path
) -> None:
    training = plain_training(BATCH)
    fit(store, tmp_path, model_settings=PLAIN, training=training, workers=OnlyWorker())
    assert_learned(tmp_path, weights)


def start(store: FeatureStore, folder: Path, count: int) -> list[str]:
    """The digest that each worker prints."""
    addresses = ",".join(f"127.0.0.1:{port}" for port in free_ports(count))
    command = [sys.executable, "-m", "tests.training.worker", store.folder, folder, addresses]
    workers = [
        subprocess.Popen([*command, str(index), str(BATCH)], stdout=subprocess.PIPE, text=True)
        for index in range(count)
    ]
    printed = [worker.communicate()[0] for worker in workers]
    assert [worker.returncode for worker in workers] == [0] * count
    return [each.split()[-1] for each in printed]


@pytest.mark.slow
def test_three_workers_do_the_steps_of_one(
    store: FeatureStore, weights: list[np.ndarray], tmp_path: Path
) -> None:
    digests = start(store, tmp_path / "run", 3)
    assert len(set(digests)) == 1, "the workers have different weights"
    assert_learned(tmp_path / "run", weights)


def variables(run: Path) -> list[np.ndarray]:
    """Everything that training has: weights, optimizer, random states."""
    with np.load(run / "checkpoint" / "state.npz") as state:
        return [state[f"variable_{number}"] for number in range(int(state["variables"]))]


def workers_of(process: subprocess.Popen) -> dict[int, int]:
    """Process numbers of the workers by their index."""
    found = {}
    for child in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
        words = Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")
        if b"--index" in words:
            found[int(words[words.index(b"--index") + 1])] = int(child)
    return found


@pytest.mark.slow
def test_workers_that_are_killed_change_nothing(tmp_path: Path) -> None:
    """First the chief, then the other one."""
    store = write_store(
        tmp_path / "features",
        train=records("train", 15),
        validation=records("validation", 4),
        test=records("test", 4),
    )
    # Short epochs, and so many that the end is far when a worker is killed.
    settings = as_set((*QUICK_TRAINING, "training.epochs=40"))

    def begin(name: str) -> subprocess.Popen:
        command = ["train", store.folder, "--out", tmp_path / name, "--workers", "local:2"]
        return subprocess.Popen(
            [sys.executable, "-m", "avel_tf.cli", *map(str, command), *settings],
            stdout=subprocess.PIPE,
            text=True,
        )

    assert begin("whole").wait(HANGS) == 0
    process = begin("killed")
    history = tmp_path / "killed" / "history.csv"
    for index, epochs in enumerate((2, 6)):
        wait_until(
            lambda epochs=epochs: (
                history.is_file() and len(history.read_text().splitlines()) > epochs
            ),
            process,
        )
        os.kill(workers_of(process)[index], signal.SIGKILL)
        wait_until(lambda index=index: not workers_of(process).get(index), process)
    output, _ = process.communicate(timeout=HANGS)
    assert process.returncode == 0
    for index in range(2):
        assert f"Worker {index} was ended by signal 9. All are started again" in output
    for one, other in zip(
        variables(tmp_path / "whole"), variables(tmp_path / "killed"), strict=True
    ):
        np.testing.assert_array_equal(one, other)
    for name in ("history.csv", "metrics.json"):
        both = [(tmp_path / run / name).read_text() for run in ("whole", "killed")]
        assert both[0] == both[1]


@pytest.mark.slow
@pytest.mark.parametrize("killed", [0, 1])
def test_the_others_end_and_say_so(store: FeatureStore, tmp_path: Path, killed: int) -> None:
    addresses = ",".join(f"127.0.0.1:{port}" for port in free_ports(2))
    command = ["train", str(store.folder), "--out", str(tmp_path / "run")]
    command += as_set((*QUICK_TRAINING, "training.epochs=2000"))
    command += ["--workers", addresses, "--index"]
    workers = [
        subprocess.Popen(
            [sys.executable, "-m", "avel_tf.cli", *command, str(index)],
            stderr=subprocess.PIPE,
            text=True,
        )
        for index in range(2)
    ]
    history = tmp_path / "run" / "history.csv"
    wait_until(lambda: history.is_file() and len(history.read_text().splitlines()) > 2, workers[0])
    workers[killed].kill()
    _, error = workers[1 - killed].communicate(timeout=HANGS)
    assert workers[1 - killed].returncode == WORKER_LOST
    assert "Another worker has ended. Start all of them again with --resume" in error
    workers[killed].communicate()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--workers", "local:1"], "at least 2"),
        (["--workers", "local:x"], "at least 2"),
        (["--workers", "one,two", "--index", "0"], "takes host:port"),
        (["--workers", "one:1,two:2"], "needs --index"),
        (["--workers", "one:1,two:2", "--index", "2"], "counted from 0"),
        (["--workers", "one:1", "--index", "0"], "at least two addresses"),
        (["--index", "0"], "--index needs --workers"),
    ],
)
def test_workers_that_cannot_be(
    store: FeatureStore,
    tmp_path: Path,
    capsys: pytest.CaptureFixture,
    options: list[str],
    message: str,
) -> None:
    out = str(tmp_path / "run")
    assert main(["train", str(store.folder), "--out", out, *options]) == 1
    assert message in capsys.readouterr().err
    assert not Path(out).exists()


def test_a_batch_is_shared_equally(store: FeatureStore, tmp_path: Path) -> None:
    three = SimpleNamespace(count=3, is_chief=True)
    with pytest.raises(ValueError, match="must be a multiple of the number of workers, 3"):
        fit(store, tmp_path, training=plain_training(16), workers=three)
