"""An exported model: its labels, recipe, postprocessing and hashes, each read once."""

from __future__ import annotations

import hashlib
import json
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from avel_tf.embeddings.class_columns import ClassColumns
from avel_tf.embeddings.recipe import Recipe
from avel_tf.embeddings.settings import Reuse
from avel_tf.engines.engine import Graphs, KnownOutputs, LoadedGraphs
from avel_tf.engines.known_outputs import read_known_outputs
from avel_tf.engines.reuse import frame_reuse
from avel_tf.events.labels import Labels
from avel_tf.events.postprocessing import Postprocessing
from avel_tf.export.manifest import (
    BUILT_FROM,
    CLASS_COLUMNS,
    CLASS_WORDS,
    DEFAULT_CLASSES,
    KNOWN_OUTPUTS,
    MANIFEST,
    PART_SIGNATURES,
    SIGNATURE_NAMES,
    ModelError,
    differences,
    find_version,
    has_built_graphs,
    hashes_of,
    model_name,
    read_manifest,
)
from avel_tf.utils.lazy_imports import load_tensorflow


class _Assets(NamedTuple):
    labels: Labels
    recipe: Recipe
    postprocessing: Postprocessing
    columns: ClassColumns | None


class ExportedModel:
    """Folder of an exported model. Opening it loads neither TensorFlow nor the weights.

    Its files are read on first use and then kept, so one object is handed on within a run. Graph
    and weights are hashed at most once.

    Args:
        folder: A version of an exported model, as in `saved_models/demo/1`, or the folder of its
            versions, of which the latest is taken.

    Attributes:
        folder: Absolute path of the version.
        name: Name of the model in results: name of its folder and version, as in `demo/1`.

    Raises:
        ModelError: The folder holds no exported model. The properties raise it for a file that is
            missing or invalid.

    Example:
        >>> model = ExportedModel("saved_models/demo")
        >>> model.check()
        >>> model.labels.names
        ('Bark', 'Helicopter')
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = find_version(folder)
        self.name = model_name(self.folder)

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """Content of `assets/manifest.json`."""
        return read_manifest(self.folder)

    @property
    def labels(self) -> Labels:
        """Classes of the model."""
        return self._assets.labels

    @property
    def recipe(self) -> Recipe:
        """Backbones and input format of the features."""
        return self._assets.recipe

    @property
    def postprocessing(self) -> Postprocessing:
        """Conversion of scores to events. The graph already applies the temperature."""
        return self._assets.postprocessing

    @property
    def columns(self) -> ClassColumns | None:
        """Columns of the features with the scores of each class; None if it is not zero-shot."""
        return self._assets.columns

    @property
    def class_words(self) -> dict[str, list[str]]:
        """Other words for each class, of a zero-shot model."""
        return self.manifest.get(CLASS_WORDS) or {}

    @property
    def default_classes(self) -> tuple[str, ...] | None:
        """Classes that the model labels unless others are selected; None for all."""
        names = self.manifest.get(DEFAULT_CLASSES)
        return None if names is None else tuple(names)

    @cached_property
    def _assets(self) -> _Assets:
        try:
            labels = Labels.load(self.folder / "assets" / "labels.txt")
            recipe = Recipe.from_dict(self.manifest["recipe"])
            postprocessing = Postprocessing.load(self.folder / "assets")
            thresholds = postprocessing.thresholds
            if thresholds and len(thresholds) != len(labels):
                raise ValueError(
                    f"its decoder.json has {len(thresholds)} thresholds, and its labels.txt "
                    f"{len(labels)} classes"
                )
            columns = self.manifest.get(CLASS_COLUMNS)
            columns = None if columns is None else ClassColumns.from_dict(columns)
            if columns and len(columns.visual) != len(labels):
                raise ValueError(
                    f"its manifest has columns of {len(columns.visual)} classes, and its "
                    f"labels.txt {len(labels)} classes"
                )
        except ModelError:
            raise
        except (OSError, ValueError, TypeError, LookupError) as error:
            raise ModelError(
                f"{self.folder} is not a model that avel export wrote: {error}"
            ) from error
        return _Assets(labels, recipe, postprocessing, columns)

    @cached_property
    def hashes(self) -> dict[str, Any]:
        """Hashes of graph, weights and assets; see `hashes_of`."""
        return hashes_of(self.folder)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of everything in the model that affects results, in hexadecimal."""
        if BUILT_FROM in self.manifest:
            return str(self.manifest[BUILT_FROM])
        digest = hashlib.sha256(json.dumps(self.hashes, sort_keys=True).encode())
        # Only the manifest holds the recipe.
        digest.update((self.folder / "assets" / MANIFEST).read_bytes())
        return digest.hexdigest()

    def mismatches(self) -> list[str]:
        """Differences between the model's files and its manifest, a clause each.

        They reveal damage, and changes that left the manifest as it was. They are no protection
        against a malicious model, whose author also writes its manifest.
        """
        return differences(self.folder, self.manifest, self.hashes)

    def check(self) -> None:
        """Check the files against the manifest.

        Raises:
            ModelError: They differ.
        """
        if found := self.mismatches():
            raise ModelError(
                f"The model {self.folder} does not match its manifest: {'; '.join(found)}. Get it "
                "again from its source, or use it nevertheless with --trust-model."
            )

    def load_graphs(self) -> LoadedGraphs:
        """Load the SavedModel's functions; see `avel_tf.export.loading.load_graphs`."""
        load_tensorflow()
        if has_built_graphs(self.folder):
            from avel_tf.export.zero_shot import build_graphs

            assert self.columns is not None  # of every zero-shot model
            return build_graphs(self.folder, self.recipe, self.columns)
        from avel_tf.export.loading import load_graphs

        return load_graphs(self.folder)

    @property
    def embeds_frames(self) -> bool:
        """True if the graphs embed single frames; models of older versions do not."""
        names = self.manifest.get(SIGNATURE_NAMES, ())
        return has_built_graphs(self.folder) or all(name in names for name in PART_SIGNATURES)

    def graphs(self, reuse: Reuse = "exact") -> Graphs:
        """Graphs of the model for an engine.

        Args:
            reuse: Which frames are not embedded again, as of `embeddings.visual.reuse`. Models
                without `embeds_frames` embed all.

        Raises:
            ModelError: `near` with a model that does not embed single frames.
        """
        if reuse == "near" and not self.embeds_frames:
            raise ModelError(
                f"The model {self.folder} was exported by a version of avel-tf whose models do not "
                "embed single frames, so embeddings.visual.reuse=near cannot be used. Export its "
                "run again, or set embeddings.visual.reuse=exact."
            )
        selected = frame_reuse(reuse, self.recipe.visual) if self.embeds_frames else None
        return Graphs(
            self.fingerprint,
            self.recipe,
            self.load_graphs,
            lambda: self.known_outputs,
            reuse=selected,
        )

    @cached_property
    def known_outputs(self) -> KnownOutputs | None:
        """Outputs of the model that are stored beside it, if there are any."""
        path = self.folder / "assets.extra" / KNOWN_OUTPUTS
        return read_known_outputs(path) if path.is_file() else None
