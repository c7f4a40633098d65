"""Options of `tf.data` pipelines."""

from __future__ import annotations

import tensorflow as tf


def without_autotune(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Switch off the thread that tunes a data set, and those made from it.

    The thread sleeps for intervals that double up to a minute, and whoever discards an iterator
    waits for the end of the interval (TensorFlow 2.21). So a pipeline that had worked for ten
    seconds took up to ten seconds to end. Parallel calls need a number instead of `AUTOTUNE`.

    Reference:
        `Model::OptimizeLoop` in tensorflow/core/framework/model.cc, and `tf.data.Options`
        (https://www.tensorflow.org/api_docs/python/tf/data/Options).
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)
