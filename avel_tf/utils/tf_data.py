"""Options of `tf.data` pipelines, and Python functions in them."""

from __future__ import annotations

import atexit
import functools
import threading
import time
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import tensorflow as tf

P = ParamSpec("P")
R = TypeVar("R")

# Seconds without a call after which the buffers of a pipeline that nobody reads count as full.
_IDLE = 0.2
# Seconds to wait at most. Reading a batch takes less; a thread that goes on training takes more.
_LONGEST_WAIT = 10.0
_lock = threading.Lock()
_running = 0
_last_end = -_IDLE


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


def awaited_at_exit(function: Callable[P, R]) -> Callable[P, R]:
    """Let the process end only when the calls of a `tf.numpy_function` have ended.

    While Python ends, it ends every other thread that is about to run Python code. If a pipeline
    made the call, the call then never returns, and TensorFlow waits for it in the destructor of the
    iterator. This happened to a training that was interrupted.

    Reference:
        https://docs.python.org/3.11/c-api/init.html#c.PyGILState_Ensure (the warning).
    """

    @functools.wraps(function)
    def counted(*arguments: P.args, **keywords: P.kwargs) -> R:
        global _running, _last_end
        with _lock:
            _running += 1
        try:
            return function(*arguments, **keywords)
        finally:
            with _lock:
                _running -= 1
                _last_end = time.monotonic()

    return counted


@atexit.register
def _wait_until_idle() -> None:
    end = time.monotonic() + _LONGEST_WAIT
    while (_running or time.monotonic() - _last_end < _IDLE) and time.monotonic() < end:
        time.sleep(0.01)
