"""Warm-up request that TensorFlow Serving runs when it loads a model."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path

import numpy as np
import tensorflow as tf

from avel_tf.embeddings.recipe import Recipe

logger = logging.getLogger(__name__)


def write_warmup_request(folder: Path, *, name: str, recipe: Recipe) -> None:
    """Writes `assets.extra/tf_serving_warmup_requests` of a SavedModel.

    Without the extra `serving` there is a warning and no request. The first request to TensorFlow
    Serving is then slow.

    Args:
        folder: The SavedModel.
        name: The model's name in TensorFlow Serving.
        recipe: Shapes of the inputs of the model.

    Reference:
        https://www.tensorflow.org/tfx/serving/saved_model_warmup
    """
    with warnings.catch_warnings():
        # The package's generated code is a protobuf release behind TensorFlow's runtime.
        warnings.filterwarnings("ignore", message="Protobuf gencode version")
        try:
            from tensorflow_serving.apis import model_pb2, predict_pb2, prediction_log_pb2
        except ImportError:
            logger.warning(
                "%s has no warm-up request for TensorFlow Serving, because tensorflow-serving-api "
                "is not installed. To add it: pip install 'avel-tf[serving]', then export again.",
                folder,
            )
            return

    visual = recipe.visual
    frames = np.zeros([1, 1, visual.frames_per_second, visual.size, visual.size, 3], np.uint8)
    waveform = np.zeros([1, recipe.audio.sample_rate], np.float32)
    request = predict_pb2.PredictRequest(
        model_spec=model_pb2.ModelSpec(name=name, signature_name="serving_default"),
        inputs={
            "frames": tf.make_tensor_proto(frames),
            "waveform": tf.make_tensor_proto(waveform),
        },
    )
    log = prediction_log_pb2.PredictionLog(
        predict_log=prediction_log_pb2.PredictLog(request=request)
    )
    extra = folder / "assets.extra"
    extra.mkdir()
    with tf.io.TFRecordWriter(str(extra / "tf_serving_warmup_requests")) as writer:
        writer.write(log.SerializeToString(deterministic=True))
