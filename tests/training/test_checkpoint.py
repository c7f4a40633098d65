"""A run that is killed goes on as if nothing had happened."""

from __future__ import annotations

import csv
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from avel_tf.features.feature_store import FeatureStore
from avel_tf.models import ModelSettings
from avel_tf.training.augmentation.settings import AugmentationSettings
from avel_tf.training.checkpoint import EpochCheckpoint
from avel_tf.training.fit import fit
from avel_tf.training.settings import TrainingSettings
from tests.training import stores

# All that draws by chance or carries state from one step to the next.
TRAINING = TrainingSettings(
    epochs=4,
    batch_size=8,
    window_seconds=6,
    weight_averaging=0.9,
    augmentation=AugmentationSettings(
        cross_modal_mixup=0.3, mixup=0.4, modality_dropout=0.3, feature_noise=0.2
    ),
)
MODEL = ModelSettings("bi_vaatt", width=8, heads=2, lstm_units=4, spatial_attention=True)
PLACES = 2  # of the maps

# How the process dies: SIGKILL leaves it no time to tidy up.
KILLS = (
    # In the middle of the third epoch.
    """
def kill_in_epoch(self, batch, logs=None):
    if len(self.history) == 2 and batch == 1:
        os.kill(os.getpid(), signal.SIGKILL)
checkpoint.EpochCheckpoint.on_train_batch_end = kill_in_epoch
""",
    # Resumed, while it writes the state of that epoch, the best model already replaced.
    """
def kill_in_write(path, content):
    path.with_name(f".writing-{path.name}").write_bytes(content[:1000])
    os.kill(os.getpid(), signal.SIGKILL)
checkpoint.write_atomically = kill_in_write
""",
)
DRIVER = """
import os, signal, sys
from avel_tf.training.augmentation.settings import AugmentationSettings
from avel_tf.features.feature_store import FeatureStore
from avel_tf.models import ModelSettings
from avel_tf.training import checkpoint
from avel_tf.training.settings import TrainingSettings
from avel_tf.training.fit import fit
{kill}
store = FeatureStore(sys.argv[1])
fit(store, sys.argv[2], model_settings={model}, training={training}, resume=True)
"""


@pytest.fixture(scope="module")
def features(tmp_path_factory) -> FeatureStore:
    return stores.write_store(
        tmp_path_factory.mktemp("resume") / "features",
        replace(stores.RECIPE, visual=replace(stores.RECIPE.visual, places=PLACES)),
        train=stores.records("train", 20),
        validation=stores.records("validation", 8),
    )


@pytest.fixture(scope="module")
def uninterrupted(features, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("resume") / "whole"
    fit(features, folder, model_settings=MODEL, training=TRAINING)
    return folder


def arrays_of(folder: Path) -> dict[str, np.ndarray]:
    """Every weight, every slot of the optimizer, every random state, and the best model."""
    with np.load(folder / "checkpoint" / "state.npz") as state:
        found = {name: state[name] for name in state.files}
    model = keras.saving.load_model(folder / "model.keras", compile=False)
    found.update({f"best_{i}": weight for i, weight in enumerate(model.get_weights())})
    return found


@pytest.mark.slow
def test_a_killed_run_ends_bit_for_bit_like_one_that_was_not(features, uninterrupted, tmp_path):
    for kill in KILLS:
        driver = DRIVER.format(kill=kill, model=MODEL, training=TRAINING)
        done = subprocess.run(
            [sys.executable, "-c", driver, str(features.folder), str(tmp_path)],
            capture_output=True,
        )
        assert done.returncode == -signal.SIGKILL, done.stderr.decode()[-2000:]
        with open(tmp_path / "history.csv", newline="") as table:
            assert [row["epoch"] for row in csv.DictReader(table)] == ["1", "2"]

    seen = []
    fit(
        features,
        tmp_path,
        model_settings=MODEL,
        training=TRAINING,
        resume=True,
        on_epoch=seen.append,
    )
    assert [row["epoch"] for row in seen] == [3, 4]  # what was done is not done again
    history = (tmp_path / "history.csv").read_bytes()
    assert history == (uninterrupted / "history.csv").read_bytes()
    expected, found = arrays_of(uninterrupted), arrays_of(tmp_path)
    assert expected.keys() == found.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)


@pytest.mark.slow
def test_a_finished_run_resumes_to_itself(features, uninterrupted):
    before = arrays_of(uninterrupted)
    fit(features, uninterrupted, model_settings=MODEL, training=TRAINING, resume=True)
    after = arrays_of(uninterrupted)
    assert all(np.array_equal(before[name], after[name]) for name in before)


def small_model(units: int = 2) -> keras.Model:
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(units)])
    model.compile("adam", "mse", jit_compile=False)
    model.optimizer.build(model.trainable_variables)
    return model


def told(
    folder: Path, epochs: list[dict[str, float]], patience: int | None = None
) -> tuple[EpochCheckpoint, list[float]]:
    """A callback after these epochs, and the mark of the model that was kept after each."""
    checkpoint = EpochCheckpoint(folder, folder / "model.keras", patience=patience)
    model = small_model()
    checkpoint.set_model(model)
    kept = []
    for epoch, logs in enumerate(epochs):
        model.layers[0].bias.assign([epoch, epoch])
        checkpoint.on_epoch_end(epoch, logs)
        best = keras.saving.load_model(folder / "model.keras", compile=False)
        kept.append(float(best.layers[0].bias[0]))
    return checkpoint, kept


@pytest.mark.parametrize(
    ("accuracies", "losses", "kept"),
    [
        ([0.1, 0.3, 0.2, 0.4], [1, 1, 1, 1], [0, 1, 1, 3]),  # accuracy decides
        ([0.3, 0.3, 0.3], [1.0, 0.5, 0.7], [0, 1, 1]),  # then the loss
        ([0.3, 0.3, 0.3], [1.0, 1.0, 1.0], [0, 0, 0]),  # then who came first
        ([0.5, 0.4], [1.0, 0.1], [0, 0]),  # a lower loss is no excuse
        ([0.0, 0.0], [9.0, 8.0], [0, 1]),
    ],
)
def test_which_epoch_is_kept(tmp_path, accuracies, losses, kept):
    logs = [
        # A training accuracy that falls: it must not matter.
        {"segment_accuracy": 1 - a, "val_segment_accuracy": a, "val_loss": float(loss)}
        for a, loss in zip(accuracies, losses, strict=True)
    ]
    assert told(tmp_path, logs)[1] == kept


@pytest.mark.parametrize(
    ("accuracies", "over"),
    [([0.3, 0.2], False), ([0.3, 0.2, 0.2], True), ([0.3, 0.2, 0.4], False), ([0.3], False)],
)
def test_patience_ends_training_and_a_resumed_run_knows(tmp_path, accuracies, over):
    logs = [{"val_segment_accuracy": accuracy, "val_loss": 1.0} for accuracy in accuracies]
    checkpoint, _ = told(tmp_path, logs, patience=2)
    assert checkpoint.is_over is over
    assert bool(checkpoint.model.stop_training) is over
    again = EpochCheckpoint(tmp_path, tmp_path / "model.keras", patience=2)
    again.restore(small_model())
    assert again.is_over is over


def test_without_validation_there_is_nothing_to_be_patient_for(tmp_path):
    assert not told(tmp_path, [{"loss": 1.0}] * 4, patience=1)[0].is_over


def test_where_only_clips_are_labelled_their_accuracy_decides(tmp_path):
    logs = [
        {"clip_accuracy": 0.0, "val_clip_accuracy": a, "val_loss": 1.0} for a in (0.1, 0.3, 0.2)
    ]
    assert told(tmp_path, logs)[1] == [0, 1, 1]


def test_without_validation_each_epoch_replaces_the_last(tmp_path):
    assert told(tmp_path, [{"loss": 1.0}, {"loss": 5.0}, {"loss": 3.0}])[1] == [0, 1, 2]


def test_a_resumed_run_still_knows_the_best_epoch_before_it(tmp_path):
    told(tmp_path, [{"val_segment_accuracy": 0.9, "val_loss": 1.0}])
    again = EpochCheckpoint(tmp_path, tmp_path / "model.keras")
    model = small_model()
    assert again.restore(model) == 1
    again.set_model(model)
    model.layers[0].bias.assign([7.0, 7.0])
    again.on_epoch_end(1, {"val_segment_accuracy": 0.8, "val_loss": 0.1})
    best = keras.saving.load_model(tmp_path / "model.keras", compile=False)
    assert best.layers[0].bias[0] == 0.0
    assert [row["epoch"] for row in again.history] == [1, 2]


def test_no_checkpoint_means_no_epoch(tmp_path):
    assert EpochCheckpoint(tmp_path, tmp_path / "model.keras").restore(small_model()) == 0


def test_a_checkpoint_of_another_model(tmp_path):
    told(tmp_path, [{"loss": 1.0}])
    checkpoint = EpochCheckpoint(tmp_path, tmp_path / "model.keras")
    with pytest.raises(ValueError, match="of another model than the configuration describes"):
        checkpoint.restore(small_model(units=5))


@pytest.mark.parametrize("damage", [b"", b"junk", None])
def test_a_damaged_checkpoint(tmp_path, damage):
    told(tmp_path, [{"loss": 1.0}])
    path = tmp_path / "checkpoint" / "state.npz"
    path.write_bytes(path.read_bytes()[:-700] if damage is None else damage)
    checkpoint = EpochCheckpoint(tmp_path, tmp_path / "model.keras")
    with pytest.raises(ValueError, match=f"{path} is damaged.*Remove it to train anew"):
        checkpoint.restore(small_model())
