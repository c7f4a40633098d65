"""Checkpoint after each epoch, from which an interrupted run resumes exactly."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import keras
import numpy as np

from avel_tf.evaluation.history import best_epoch, rank
from avel_tf.training.training_model import averaged_weights
from avel_tf.utils.durable_files import atomic_path, write_atomically

STATE = "state.npz"


class EpochCheckpoint(keras.callbacks.Callback):
    """Keras callback that saves the best model, and after each epoch the state of training.

    The state is one file, replaced atomically: every variable of the model, including the random
    state of dropout, every variable of the optimizer, including averaged weights, and the history.
    The best epoch on validation has the highest accuracy, then the lowest loss, then the lower
    number. Without a validation split the last epoch is kept.

    Args:
        folder: The run's folder.
        best: File of the best model.
        localizer: Part of the trained model that is saved as the best; all of it when None.
        patience: Number of epochs without a better one after which training ends; None: never.

    Attributes:
        history: One row per finished epoch.
    """

    def __init__(
        self,
        folder: Path,
        best: Path,
        *,
        localizer: keras.Model | None = None,
        patience: int | None = None,
    ) -> None:
        super().__init__()
        self.folder = folder
        self.best = best
        self.localizer = localizer
        self.patience = patience
        self.history: list[dict[str, float]] = []

    @property
    def _state(self) -> Path:
        return self.folder / "checkpoint" / STATE

    @property
    def is_over(self) -> bool:
        """True if patience has run out. This follows from the history, so a resumed run agrees."""
        if self.patience is None or not self.history or "val_loss" not in self.history[-1]:
            return False
        return self.history[-1]["epoch"] - best_epoch(self.history) >= self.patience

    def restore(self, model: keras.Model) -> int:
        """Restore a compiled model to the end of the last epoch.

        Returns:
            Number of finished epochs; 0 without a checkpoint.

        Raises:
            ValueError: The checkpoint is of another model or is damaged.
        """
        if not self._state.is_file():
            return 0
        try:
            with np.load(self._state, allow_pickle=False) as state:
                arrays = [state[f"variable_{i}"] for i in range(int(state["variables"]))]
                self.history = json.loads(str(state["history"]))
        except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile) as error:
            raise ValueError(
                f"The checkpoint {self._state} is damaged: {error}. Remove it to train anew."
            ) from error
        variables = _variables(model)
        shapes = [tuple(variable.shape) for variable in variables]
        if shapes != [array.shape for array in arrays]:
            raise ValueError(
                f"The checkpoint {self._state} is of another model than the configuration "
                "describes. Resume with the configuration that the run began with."
            )
        for variable, array in zip(variables, arrays, strict=True):
            variable.assign(array)
        return len(self.history)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Save the best model, the state and the history; called by Keras."""
        row = {"epoch": epoch + 1, **{key: float(value) for key, value in (logs or {}).items()}}
        earlier = [rank(each) for each in self.history]
        self.history.append(row)
        if not earlier or "val_loss" not in row or rank(row) > max(earlier):
            with (
                atomic_path(self.best, sole_writer=True) as temporary,
                averaged_weights(self.model),
            ):
                (self.localizer or self.model).save(temporary)
        # The state is written last: a run killed earlier repeats the epoch with the same result.
        variables = _variables(self.model)
        arrays: dict[str, Any] = {
            f"variable_{i}": keras.ops.convert_to_numpy(v) for i, v in enumerate(variables)
        }
        buffer = io.BytesIO()
        np.savez(buffer, variables=len(variables), history=json.dumps(self.history), **arrays)
        write_atomically(self._state, buffer.getvalue())
        self._write_history()
        if self.is_over:
            self.model.stop_training = True

    def _write_history(self) -> None:
        text = io.StringIO()
        table = csv.DictWriter(text, fieldnames=list(self.history[0]), lineterminator="\n")
        table.writeheader()
        table.writerows(self.history)
        write_atomically(self.folder / "history.csv", text.getvalue().encode())


def _variables(model: keras.Model) -> list[Any]:
    return [*model.variables, *model.optimizer.variables]
