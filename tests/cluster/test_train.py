"""avel train --ray: the seeds of one machine, also when a worker is killed."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from pathlib import Path

import numpy as np
import pytest

from avel_tf.cli.main import main
from avel_tf.models import load_model
from tests.conftest import QUICK_TRAINING, as_set
from tests.processes import wait_until
from tests.training.stores import records, write_store

pytest.importorskip("ray")

SETTINGS = as_set((*QUICK_TRAINING, "training.epochs=12"))


def kill_in_training(history: Path) -> None:
    """Kill the process of the task after the second epoch of a run."""
    wait_until(lambda: history.is_file() and len(history.read_text().splitlines()) > 2)
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (process / "cmdline").read_bytes().startswith(b"ray::_train"):
                os.kill(int(process.name), signal.SIGKILL)
                return
    raise AssertionError("no task is in training")


@pytest.mark.slow
def test_seeds_as_tasks_are_those_of_one_machine(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    store = write_store(
        tmp_path / "features",
        train=records("train", 15),
        validation=records("validation", 4),
        test=records("test", 4),
    )
    words = ["train", str(store.folder), "--seeds", "2", *SETTINGS, "--out"]
    assert main([*words, str(tmp_path / "plain")]) == 0
    killer = threading.Thread(
        target=kill_in_training, args=(tmp_path / "cluster" / "seed-0" / "history.csv",)
    )
    killer.start()
    assert main([*words, str(tmp_path / "cluster"), "--ray", "local"]) == 0
    killer.join()
    shown = capsys.readouterr().out
    assert "seed 0: segment accuracy" in shown and "seed 1: segment accuracy" in shown
    for seed in ("seed-0", "seed-1"):
        models = [load_model(tmp_path / run / seed / "model.keras") for run in ("plain", "cluster")]
        for one, other in zip(*(model.get_weights() for model in models), strict=True):
            np.testing.assert_allclose(one, other, atol=1e-5)
        tables = [(tmp_path / run / seed / "history.csv") for run in ("plain", "cluster")]
        assert len({len(table.read_text().splitlines()) for table in tables}) == 1


def test_ray_trains_several_seeds_on_one_machine_each(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    store = write_store(tmp_path / "features", train=records("train", 4), test=records("test", 2))
    words = ["train", str(store.folder), "--out", str(tmp_path / "run"), "--ray", "local"]
    assert main(words) == 1
    assert "Add --seeds N" in capsys.readouterr().err
    assert main([*words, "--seeds", "2", "--workers", "local:2"]) == 1
    assert "Leave out --workers" in capsys.readouterr().err
