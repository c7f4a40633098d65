"""The networks: features per second in, one logit per class and second out.

Names are handed out lazily, so that the settings can be read without loading Keras.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from avel_tf.models.activation import is_multi_label, probabilities_from
    from avel_tf.models.attention import attention_model, attention_names
    from avel_tf.models.head_check import check_head
    from avel_tf.models.layers.normalization import FeatureNormalization, fit_normalization
    from avel_tf.models.loading import load_model
    from avel_tf.models.losses.multiple_instance_cross_entropy import MultipleInstanceCrossEntropy
    from avel_tf.models.losses.segment_cross_entropy import SegmentCrossEntropy
    from avel_tf.models.networks import build
    from avel_tf.models.objectives import losses_for, training_outputs
    from avel_tf.models.settings import MODELS, ModelSettings

_HOMES = {
    "FeatureNormalization": "avel_tf.models.layers.normalization",
    "MODELS": "avel_tf.models.settings",
    "ModelSettings": "avel_tf.models.settings",
    "MultipleInstanceCrossEntropy": "avel_tf.models.losses.multiple_instance_cross_entropy",
    "SegmentCrossEntropy": "avel_tf.models.losses.segment_cross_entropy",
    "attention_model": "avel_tf.models.attention",
    "attention_names": "avel_tf.models.attention",
    "build": "avel_tf.models.networks",
    "check_head": "avel_tf.models.head_check",
    "is_multi_label": "avel_tf.models.activation",
    "probabilities_from": "avel_tf.models.activation",
    "fit_normalization": "avel_tf.models.layers.normalization",
    "load_model": "avel_tf.models.loading",
    "losses_for": "avel_tf.models.objectives",
    "training_outputs": "avel_tf.models.objectives",
}
__all__ = [
    "MODELS",
    "FeatureNormalization",
    "ModelSettings",
    "MultipleInstanceCrossEntropy",
    "SegmentCrossEntropy",
    "attention_model",
    "attention_names",
    "build",
    "check_head",
    "fit_normalization",
    "is_multi_label",
    "load_model",
    "losses_for",
    "probabilities_from",
    "training_outputs",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'avel_tf.models' has no attribute {name!r}; it offers {__all__}.")
