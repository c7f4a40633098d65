"""The state of a training run at an epoch's end, so that a killed run goes on exactly."""

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
    """Keeps the best model and, after every epoch, all that is needed to go on from there.

    The state is every variable of the model (the dropout layers' random state among them) and of
    the optimizer, averaged weights among them, and the history; it is one file, replaced
    atomically. The best model is judged on the validation split alone: highest accuracy, then
    lowest loss, then the earlier epoch. Without a validation split the last epoch is kept.

    Args:
        folder: The run's folder.
        best: Where the best model is written.
        localizer: The part of the trained model that is kept; all of it when left out.
        patience: After how many epochs without a better one training ends; `None`: never.

    Attributes:
        history: One row for each epoch that is done.
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
        """True if patience has run out; from the history, so that a resumed run agrees."""
        if self.patience is None or not self.history or "val_loss" not in self.history[-1]:
            return False
        return self.history[-1]["epoch"] - best_epoch(self.history) >= self.patience

    def restore(self, model: keras.Model) -> int:
        """Put a compiled model back to the last epoch's end.

        Returns:
            How many epochs are done; 0 when there is no checkpoint.

        Raises:
            ValueError: When the checkpoint is of another model or is damaged.
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
        """Called by Keras."""
        row = {"epoch": epoch + 1, **{key: float(value) for key, value in (logs or {}).items()}}
        earlier = [rank(each) for each in self.history]
        self.history.append(row)
        if not earlier or "val_loss" not in row or rank(row) > max(earlier):
            with (
                atomic_path(self.best, sole_writer=True) as temporary,
                averaged_weights(self.model),
            ):
                (self.localizer or self.model).save(temporary)
        # The state comes last: a run killed before it repeats the epoch, and ends the same.
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
