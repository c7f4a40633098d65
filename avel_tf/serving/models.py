"""Models of the server: the one it was started with, and the versions that people made of it."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

from avel_tf.export.exported_model import ExportedModel
from avel_tf.export.manifest import EXTENDS, ModelError
from avel_tf.pretrained import find_pretrained
from avel_tf.serving.errors import ApiError
from avel_tf.serving.model_worker import ModelSpec
from avel_tf.serving.state import State

# Folder of the versions, and so the first part of their names, as in taught/1.
TAUGHT = "taught"
_ACTIVE = "active_model"
_NOTES = "model_notes"


@dataclass(frozen=True)
class ModelEntry:
    """A model that the server can use.

    Attributes:
        name: Name in results, such as `taught/2`.
        labels: All classes.
        created: Time in ISO 8601, UTC; None for the model that the server was started with.
        note: How it was made.
        folder: Its folder; None for the model that the server was started with.
    """

    name: str
    labels: tuple[str, ...]
    created: str | None
    note: str
    folder: Path | None


class Models:
    """Models of one server.

    Args:
        folder: Folder of the models that people made; created with the first of them.
        original: The model that the server was started with.
        state: Keeps which model is active.
    """

    def __init__(self, folder: Path, original: ModelSpec, state: State) -> None:
        self.folder = folder / TAUGHT
        self.original = original
        self._state = state

    def original_entry(self) -> ModelEntry:
        """The model that the server was started with.

        Raises:
            ModelError: It cannot be read.
        """
        path = self.original.model
        model = ExportedModel(path or find_pretrained(class_table=self.original.class_table))
        return ModelEntry(
            model.name, model.labels.names, None, "The model that the server was started with", None
        )

    def taught(self) -> list[ModelEntry]:
        """The models that people made, the newest first. Damaged ones are left out."""
        if not self.folder.is_dir():
            return []
        notes = json.loads(self._state.note(_NOTES) or "{}")
        entries = []
        versions = [path for path in self.folder.iterdir() if path.name.isdecimal()]
        for path in sorted(versions, key=lambda path: -int(path.name)):
            try:
                model = ExportedModel(path)
                note = notes.get(model.name, {})
                entries.append(
                    ModelEntry(
                        model.name,
                        model.labels.names,
                        note.get("created"),
                        note.get("note", ""),
                        path,
                    )
                )
            except ModelError:
                continue
        return entries

    def add_note(self, name: str, created: str, note: str) -> None:
        """Keep how a model was made."""
        notes = json.loads(self._state.note(_NOTES) or "{}")
        notes[name] = {"created": created, "note": note}
        self._state.set_note(_NOTES, json.dumps(notes))

    @property
    def active(self) -> str | None:
        """Name of the active model if people made it; None for the original one."""
        name = self._state.note(_ACTIVE)
        return name if name and any(each.name == name for each in self.taught()) else None

    def activate(self, name: str | None) -> None:
        """Remember the active model; None for the original one."""
        self._state.set_note(_ACTIVE, name or "")

    def spec(self, name: str | None) -> ModelSpec:
        """Specification of a model for the model process.

        Args:
            name: Name of a model that people made, or None for the original one.

        Raises:
            ApiError: There is no such model.
        """
        if name is None:
            return self.original
        entry = next((each for each in self.taught() if each.name == name), None)
        if entry is None or entry.folder is None:
            raise ApiError(404, f"There is no model {name!r}.")
        return replace(
            self.original,
            model=str(entry.folder),
            class_table=None,
            classes=self._classes(ExportedModel(entry.folder)),
        )

    def _classes(self, model: ExportedModel) -> str | tuple[str, ...] | None:
        """Classes to label: those that were selected at the start, and the taught ones."""
        if self.original.classes is None:
            return None
        from avel_tf.vocabulary.class_names import resolve_classes

        chosen = self.original.classes
        names = resolve_classes(
            list(chosen) if isinstance(chosen, tuple) else chosen, model.labels, model.class_words
        )
        added = model.manifest.get(EXTENDS, {}).get("taught", [])
        return tuple(dict.fromkeys([*names, *added]))
