"""Interface of engines, and the graphs that they run."""

from __future__ import annotations

import hashlib
import importlib.metadata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from avel_tf.embeddings.recipe import Recipe
from avel_tf.video.segment_loader import SegmentBatch, SegmentLoader

if TYPE_CHECKING:
    from avel_tf.embeddings.extractor import FeatureExtractor


class LoadedGraphs(NamedTuple):
    """TensorFlow functions.

    Attributes:
        embed: (frames uint8 [N, 1, F, H, W, 3], waveform float32 [N, 16000]) to (visual float32
            [N, 1, Dv], audio float32 [N, 1, Da]).
        label: (visual float32 [B, T, Dv], audio float32 [B, T, Da], valid bool [B, T]) to
            probabilities float32 [B, T, C+1]; `None` where features are all that is wanted.
    """

    embed: Callable[[Any, Any], tuple[Any, Any]]
    label: Callable[[Any, Any, Any], Any] | None = None


@dataclass(frozen=True)
class Graphs:
    """The graphs of a SavedModel, or those of backbones alone, for any engine to take.

    Args:
        key: A hash that changes with the graphs, under which what was compiled is kept.
        recipe: The shapes that the backbones take and give.
        load: Fetches the TensorFlow functions. An engine that has compiled them before does not
            call it, and then TensorFlow is not even imported.
        converted: Folder in which the same graphs lie converted for OpenVINO, as `embed.xml` and
            `label-valid.xml`, tested to compute in float32 what TensorFlow does; `None` where an
            engine has to convert them.
    """

    key: str
    recipe: Recipe
    load: Callable[[], LoadedGraphs]
    converted: Path | None = None

    @cached_property
    def loaded(self) -> LoadedGraphs:
        """The TensorFlow functions, fetched once."""
        return self.load()

    @property
    def name_classes(self) -> bool:
        """True if the graphs include a localizer, not only backbones."""
        # Only whole models come converted, and then TensorFlow need not be loaded for the answer.
        return self.converted is not None or self.loaded.label is not None


def backbone_graphs(extractor: FeatureExtractor) -> Graphs:
    """The backbones alone, for an engine to run."""
    # What is compiled holds this project's own steps before and after the modules, too.
    parts = (
        extractor.recipe.fingerprint,
        str(extractor.audio.output),
        *(importlib.metadata.version(name) for name in ("avel-tf", "tensorflow")),
    )
    key = hashlib.sha256("\n".join(parts).encode()).hexdigest()
    return Graphs(key, extractor.recipe, lambda: LoadedGraphs(extractor))


class Engine(Protocol):
    """Runs the networks of a model on one kind of arithmetic.

    Attributes:
        batch_seconds: N, the most seconds in one call of the backbones.
        device: The GPU that is used, if one is.
    """

    batch_seconds: int
    device: str | None

    def embed(self, stream: SegmentLoader) -> Iterator[tuple[SegmentBatch, np.ndarray, np.ndarray]]:
        """Embed a stream's batches, the next ones decoded and begun meanwhile.

        Args:
            stream: The files.

        Yields:
            Each batch in its order with visual float32 [N, Dv] and audio float32 [N, Da].
        """
        ...

    def embed_seconds(
        self, frames: np.ndarray, waveform: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Embed one batch, and wait for it.

        Args:
            frames: uint8 [n, F, H, W, 3] RGB of at most N seconds.
            waveform: float32 [n, 16000].

        Returns:
            visual float32 [n, Dv] and audio float32 [n, Da].
        """
        ...

    def label(self, visual: np.ndarray, audio: np.ndarray, valid: np.ndarray) -> np.ndarray:
        """Probabilities from features.

        Args:
            visual: float32 [B, T, Dv].
            audio: float32 [B, T, Da].
            valid: bool [B, T]; the other seconds do not affect these.

        Returns:
            float32 [B, T, C+1], background last.
        """
        ...
