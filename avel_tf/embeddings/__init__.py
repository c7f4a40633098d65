"""Pixels and sound to vectors."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from avel_tf.embeddings.audio import AudioEmbedding, load_audio
    from avel_tf.embeddings.extractor import FeatureExtractor, load_extractor
    from avel_tf.embeddings.hub_module import ModuleUnavailableError
    from avel_tf.embeddings.recipe import Recipe, RecipeMismatchError
    from avel_tf.embeddings.settings import AudioSettings, EmbeddingSettings, VisualSettings
    from avel_tf.embeddings.visual import VisualEmbedding, load_visual

# Handed out on first use: settings and errors must not cost an import of TensorFlow.
_HOMES = {
    "AudioEmbedding": "audio",
    "load_audio": "audio",
    "FeatureExtractor": "extractor",
    "load_extractor": "extractor",
    "ModuleUnavailableError": "hub_module",
    "Recipe": "recipe",
    "RecipeMismatchError": "recipe",
    "AudioSettings": "settings",
    "EmbeddingSettings": "settings",
    "VisualSettings": "settings",
    "VisualEmbedding": "visual",
    "load_visual": "visual",
}
__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"avel_tf.embeddings.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'avel_tf.embeddings' has no attribute {name!r}")
