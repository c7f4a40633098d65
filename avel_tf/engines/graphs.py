"""What an engine runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from avel_tf.embeddings.recipe import Recipe


class LoadedGraphs(NamedTuple):
    """TensorFlow functions.

    Attributes:
        embed: (frames uint8 [N, 1, F, H, W, 3], waveform float32 [N, 16000]) to (visual float32
            [N, 1, Dv], audio float32 [N, 1, Da]).
        label: (visual float32 [B, T, Dv], audio float32 [B, T, Da]) to probabilities float32
            [B, T, C+1]; `None` where features are all that is wanted.
    """

    embed: Callable[[Any, Any], tuple[Any, Any]]
    label: Callable[[Any, Any], Any] | None = None


@dataclass(frozen=True)
class Graphs:
    """The graphs of a SavedModel, or those of backbones alone, for any engine to take.

    Args:
        key: A hash that changes with the graphs, under which what was compiled is kept.
        recipe: The shapes that the backbones take and give.
        load: Fetches the TensorFlow functions. An engine that has compiled them before does not
            call it, and then TensorFlow is not even imported.
    """

    key: str
    recipe: Recipe
    load: Callable[[], LoadedGraphs]

    @cached_property
    def loaded(self) -> LoadedGraphs:
        """The TensorFlow functions, fetched once."""
        return self.load()
