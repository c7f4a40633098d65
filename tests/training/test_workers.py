"""Training on several workers: real processes on this machine."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from avel_tf.cli.main import main
from avel_tf.features.feature_store import WHOLE, FeatureStore, Part
from avel_tf.models import load_model
from avel_tf.training.fit import MODEL, fit
from avel_tf.training.local_workers import WORKER_LOST, free_ports
from tests.processes import HANGS, wait_until
from tests.training.stores import records, write_store
from tests.training.worker import PLAIN, plain_training


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    """15 windows for training; none for validation, so the last epoch is kept."""
    folder = tmp_path_factory.mktemp("store") / "features"
    return write_store(folder, train=records("train", 15), test=records("test", 6))


def test_parts_make_up_a_split(store: FeatureStore) -> None:
    def ids(part: Part) -> list[bytes]:
        found = [record["id"] for record in store.dataset("train", part=part).as_numpy_iterator()]
        assert found == [each["id"] for each in store.seconds("train", part).as_numpy_iterator()]
        return found

    for count in (2, 3, 20):
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


def start(store: FeatureStore, folder: Path, count: int, batch_size: int) -> list[str]:
    """The digest that each worker prints."""
    addresses = ",".join(f"127.0.0.1:{port}" for port in free_ports(count))
    command = [sys.executable, "-m", "tests.training.worker", store.folder, folder, addresses]
    workers = [
        subprocess.Popen([*command, str(index), str(batch_size)], stdout=subprocess.PIPE, text=True)
        for index in range(count)
    ]
    printed = [worker.communicate()[0] for worker in workers]
    assert [worker.returncode for worker in workers] == [0] * count
    return [each.split()[-1] for each in printed]


@pytest.mark.parametrize("count", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_workers_do_the_steps_of_one(store: FeatureStore, tmp_path: Path, count: int) -> None:
    # An epoch is one step of all windows, so their order has no effect; the parts are unequal.
    batch_size = 18
    digests = start(store, tmp_path / "run", count, batch_size)
    assert len(set(digests)) == 1, "the workers have different weights"
    alone = fit(
        store, tmp_path / "alone", model_settings=PLAIN, training=plain_training(batch_size)
    )
    together = load_model(tmp_path / "run" / MODEL)
    for one, other in zip(alone.get_weights(), together.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
    rows = list(csv.DictReader((tmp_path / "run" / "history.csv").open()))
    assert [float(row["loss"]) for row in rows] == sorted(
        (float(row["loss"]) for row in rows), reverse=True
    )


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
@pytest.mark.parametrize(("count", "killed"), [(2, [0, 1]), (3, [2])])
def test_a_worker_that_is_killed_changes_nothing(
    tmp_path: Path, count: int, killed: list[int]
) -> None:
    store = write_store(
        tmp_path / "features",
        train=records("train", 40),
        validation=records("validation", 10),
        test=records("test", 10),
    )
    settings = ["model.width=16", "model.heads=2", "model.lstm_units=8", "training.epochs=12"]
    settings += ["training.batch_size=6"]

    def begin(name: str) -> subprocess.Popen:
        command = ["train", store.folder, "--out", tmp_path / name, "--workers", f"local:{count}"]
        return subprocess.Popen(
            [sys.executable, "-m", "avel_tf.cli", *map(str, command)]
            + [word for each in settings for word in ("--set", each)],
            stdout=subprocess.PIPE,
            text=True,
        )

    assert begin("whole").wait(HANGS) == 0
    process = begin("killed")
    history = tmp_path / "killed" / "history.csv"
    for number, index in enumerate(killed):
        epochs = 2 + 4 * number
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
    for index in killed:
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
    command += ["--set", "training.epochs=2000", "--workers", addresses, "--index"]
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
