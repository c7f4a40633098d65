"""Networks from features to logits per segment, with their layers, heads and losses.

Names are imported on first use, so that settings can be read without Keras.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from avel_tf.models.attention import attention_model, attention_names
    from avel_tf.models.heads import check_head, is_multi_label, probabilities_from
    from avel_tf.models.layers.clip_evidence import calibrate_clip_evidence, fit_clip_evidence
    from avel_tf.models.layers.normalization import FeatureNormalization, fit_normalization
    from avel_tf.models.loading import load_model
    from avel_tf.models.losses.clip_losses import MultipleInstanceCrossEntropy
    from avel_tf.models.losses.segment_losses import SegmentCrossEntropy
    from avel_tf.models.networks import build
    from avel_tf.models.objectives import losses_for, training_outputs
    from avel_tf.models.settings import MODELS, ModelSettings

_HOMES = {
    "FeatureNormalization": "avel_tf.models.layers.normalization",
    "MODELS": "avel_tf.models.settings",
    "ModelSettings": "avel_tf.models.settings",
    "MultipleInstanceCrossEntropy": "avel_tf.models.losses.clip_losses",
    "SegmentCrossEntropy": "avel_tf.models.losses.segment_losses",
    "attention_model": "avel_tf.models.attention",
    "attention_names": "avel_tf.models.attention",
    "build": "avel_tf.models.networks",
    "check_head": "avel_tf.models.heads",
    "is_multi_label": "avel_tf.models.heads",
    "probabilities_from": "avel_tf.models.heads",
    "calibrate_clip_evidence": "avel_tf.models.layers.clip_evidence",
    "fit_clip_evidence": "avel_tf.models.layers.clip_evidence",
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
    "calibrate_clip_evidence",
    "check_head",
    "fit_clip_evidence",
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
