"""Interface of engines, and the graphs that they run."""

from __future__ import annotations

import hashlib
import importlib.metadata
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from avel_tf.embeddings.recipe import Recipe
from avel_tf.engines.network_files import StoredNetwork
from avel_tf.engines.reuse import FrameReuse, frame_reuse
from avel_tf.video.clip import Clip
from avel_tf.video.segment_loader import SegmentBatch

if TYPE_CHECKING:
    from avel_tf.embeddings.extractor import FeatureExtractor


class EngineCrashed(Exception):
    """The process of an engine has ended; `str()` is a clause that says how.

    Args:
        cause: The clause.
        fault: Name of the signal if the program is the cause, as in `SIGILL`; None if the process
            ended by something else, such as a lack of memory.
    """

    def __init__(self, cause: str, *, fault: str | None = None) -> None:
        super().__init__(cause)
        self.fault = fault


class EngineFailed(RuntimeError):
    """The library of an engine cannot compile or run a network; its process goes on."""


class BatchSource(Protocol):
    """Interface of a `SegmentLoader` that engines need."""

    @property
    def failure(self) -> BaseException | None:
        """Exception that ended the batches early."""
        ...

    def batches(self, seconds: int) -> Generator[SegmentBatch, None, None]:
        """Yield batches of at most N segments of one file each."""
        ...


class SingleBackbones(NamedTuple):
    """TensorFlow functions of the two backbones.

    Attributes:
        frames: Frames uint8 [N, H, W, 3] to vectors float32 [N, Dv].
        audio: Waveform float32 [N, 16000] to audio float32 [N, Da]. Segments that are not finite
            give NaN or raise an error.
    """

    frames: Callable[[Any], Any]
    audio: Callable[[Any], Any]


class LoadedGraphs(NamedTuple):
    """TensorFlow functions.

    Attributes:
        embed: (frames uint8 [N, 1, F, H, W, 3], waveform float32 [N, 16000]) to (visual float32
            [N, 1, Dv], audio float32 [N, 1, Da]).
        label: (visual float32 [B, T, Dv], audio float32 [B, T, Da], valid bool [B, T]) to
            probabilities float32 [B, T, C+1]; None for backbones alone.
        backbones: The parts of `embed`; None for SavedModels of older versions.
    """

    embed: Callable[[Any, Any], tuple[Any, Any]]
    label: Callable[[Any, Any, Any], Any] | None = None
    backbones: SingleBackbones | None = None


@dataclass(frozen=True)
class KnownOutputs:
    """Outputs of TensorFlow in float32 for a sample, to verify engines without TensorFlow.

    Args:
        sample: Function that makes the clips of the sample, N segments in total. It is called only
            to verify an engine.
        visual: float32 [N, Dv].
        audio: float32 [N, Da].
        labels: Most probable label of each segment, int [N].
        precisions: Precisions that `auto` considers, because others are known to differ.
    """

    sample: Callable[[], Sequence[Clip]]
    visual: np.ndarray
    audio: np.ndarray
    labels: np.ndarray
    precisions: tuple[str, ...]

    @cached_property
    def clips(self) -> Sequence[Clip]:
        """The sample, made once."""
        return self.sample()


@dataclass(frozen=True)
class Graphs:
    """Graphs of a SavedModel or of backbones alone, independent of the engine.

    Args:
        key: Hash of the graphs, used as the name of their cache folder.
        recipe: Input and output shapes of the backbones.
        load: Function that loads the TensorFlow functions. It is not called, and TensorFlow not
            imported, if an engine has compiled them before.
        known_outputs: Function that returns outputs of the graphs, if there are any.
        stored_network: Function of the name of a network that returns what OpenVINO converted it
            to, if that is stored, so that TensorFlow does not have to load the graphs.
        name_classes: Whether the graphs include a localizer, not only backbones.
        reuse: Selects the frames to embed, and needs `backbones`. None embeds all by `embed`.
    """

    key: str
    recipe: Recipe
    load: Callable[[], LoadedGraphs]
    known_outputs: Callable[[], KnownOutputs | None] = lambda: None
    stored_network: Callable[[str], StoredNetwork | None] = lambda name: None
    name_classes: bool = True
    reuse: FrameReuse | None = None

    @cached_property
    def loaded(self) -> LoadedGraphs:
        """The TensorFlow functions, loaded once."""
        return self.load()

    @property
    def backbones(self) -> SingleBackbones:
        """The single backbones.

        Raises:
            ValueError: The graphs have none.
        """
        if self.loaded.backbones is None:
            raise ValueError(
                "These graphs embed whole segments, and cannot reuse frames. Received: graphs of a "
                "SavedModel without the signatures embed_frames and embed_audio."
            )
        return self.loaded.backbones


def backbone_graphs(extractor: FeatureExtractor) -> Graphs:
    """Graphs of backbones alone."""
    # The graphs include steps of this package before and after the modules.
    parts = (
        extractor.recipe.fingerprint,
        str(extractor.audio.output),
        *(importlib.metadata.version(name) for name in ("avel-tf", "tensorflow")),
    )
    key = hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def load() -> LoadedGraphs:
        backbones = SingleBackbones(extractor.visual, extractor.embed_audio)
        return LoadedGraphs(extractor, backbones=backbones)

    reuse = frame_reuse(extractor.reuse, extractor.recipe.visual)
    return Graphs(key, extractor.recipe, load, name_classes=False, reuse=reuse)


class Engine(Protocol):
    """Interface of an engine, which runs the networks of a model in one precision.

    Several threads may use an engine at the same time.

    Attributes:
        batch_seconds: N, most segments of one batch.
        device: Name of the GPU in use, or None.
    """

    @property
    def batch_seconds(self) -> int: ...

    @property
    def device(self) -> str | None: ...

    def embed(self, stream: BatchSource) -> Iterator[tuple[SegmentBatch, np.ndarray, np.ndarray]]:
        """Embed the batches of a loader, while the next ones are decoded.

        Args:
            stream: The files.

        Yields:
            Each batch in order with visual float32 [N, Dv] and audio float32 [N, Da].
        """
        ...

    def embed_seconds(
        self, frames: np.ndarray, waveform: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Embed one batch.

        Args:
            frames: uint8 [n, F, H, W, 3] RGB, n at most N.
            waveform: float32 [n, 16000].

        Returns:
            visual float32 [n, Dv] and audio float32 [n, Da].
        """
        ...

    def label(self, visual: np.ndarray, audio: np.ndarray, valid: np.ndarray) -> np.ndarray:
        """Compute probabilities from features.

        Args:
            visual: float32 [B, T, Dv].
            audio: float32 [B, T, Da].
            valid: bool [B, T]; other segments do not affect valid ones.

        Returns:
            float32 [B, T, C+1], background last.
        """
        ...
