"""Visual and audio embeddings: TF-Hub modules and compact backbones."""

from __future__ import annotations

import importlib
from typing import Any

# Imported on first use, so that settings and errors do not import TensorFlow.
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
__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"avel_tf.embeddings.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'avel_tf.embeddings' has no attribute {name!r}")
