"""Training of one model on several workers."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf

from avel_tf.features.examples import Augment, Examples
from avel_tf.training.settings import TrainingSettings
from avel_tf.training.training_model import TrainingModel
from avel_tf.training.workers import Workers, reporting_lost_workers

logger = logging.getLogger(__name__)

# Keeps the orders and augmentations of the workers apart; seeds are below it.
_SEEDS = 2**31


def share_of_batch(training: TrainingSettings, workers: Workers) -> int:
    """Windows of a step on each worker.

    Raises:
        ValueError: The batch cannot be shared equally.
    """
    if training.batch_size % workers.count:
        raise ValueError(
            f"training.batch_size must be a multiple of the number of workers, {workers.count}. "
            f"Received: {training.batch_size}."
        )
    return training.batch_size // workers.count


def steps_on_all(examples: Examples, training: TrainingSettings, workers: Workers) -> np.ndarray:
    """Windows of each step of an epoch on every worker, int [steps, workers].

    Args:
        examples: The windows of this worker.
        training: The batch size.
        workers: The workers.
    """
    size = share_of_batch(training, workers)
    row = np.zeros(workers.count, np.int64)
    row[workers.index] = len(examples)
    counts = workers.add([tf.constant(row)])[0].numpy()
    first = np.arange(0, counts.max(), size)[:, None]
    return np.clip(counts - first, 0, size)


@reporting_lost_workers()
def fit_on_workers(
    trained: TrainingModel,
    examples: Examples,
    workers: Workers,
    *,
    windows: np.ndarray,
    training: TrainingSettings,
    metric: keras.metrics.Metric,
    augment: Callable[[], Augment | None],
    first_epoch: int = 0,
    validation: tf.data.Dataset | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> None:
    """Train as `fit` does, with each step's batch shared among the workers.

    The gradients of a step are summed over the workers, weighted by their numbers of windows, and
    clipped and applied by every worker, so that a step is that of one worker with the whole batch.
    Afterwards all workers have the variables of the chief, bit for bit.

    Args:
        trained: The compiled model.
        examples: The windows of this worker.
        workers: The workers.
        windows: As of `steps_on_all`.
        training: Epochs, batch size and seed.
        metric: Metric of the training batches, of additive variables.
        augment: Makes the argument of `Examples.batches`, from the chief's normalisation.
        first_epoch: On the chief, the first epoch, counted from 0.
        validation: On the chief, batches of the validation split if there are any.
        callbacks: On the chief, the callbacks.

    Raises:
        WorkerLost: Another worker has ended.
    """
    first_epoch = workers.from_chief(first_epoch)
    workers.broadcast([*trained.variables, *trained.optimizer.variables])
    variables = trained.trainable_variables

    @tf.function(reduce_retracing=True, autograph=False)
    def step(inputs: dict, targets: tf.Tensor, weights: tf.Tensor, share: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            outputs = trained(inputs, training=True)
            loss = share * trained.compute_loss(inputs, targets, outputs, weights)
        gradients = [
            tf.zeros_like(variable) if gradient is None else tf.convert_to_tensor(gradient)
            for variable, gradient in zip(
                variables, tape.gradient(loss, [each.value for each in variables]), strict=True
            )
        ]
        loss, *gradients = workers.add([loss, *gradients])
        trained.optimizer.apply(gradients, variables)
        logits = outputs.get("output", outputs["logits"])
        metric.update_state(targets, logits, weights * tf.cast(share > 0, weights.dtype))
        return loss

    size = share_of_batch(training, workers)
    own = windows[:, workers.index]
    shares = own / windows.sum(axis=1)
    batches = iter(
        examples.batches(
            size,
            seed=training.seed + workers.index * _SEEDS,
            first_epoch=first_epoch,
            epochs=training.epochs,
            augment=augment(),
        )
    )
    called = keras.callbacks.CallbackList(
        list(callbacks) if workers.is_chief else [],
        model=trained,
        epochs=training.epochs,
        steps=len(windows),
        verbose=0,
    )
    called.on_train_begin()
    for epoch in range(first_epoch, training.epochs):
        called.on_epoch_begin(epoch)
        metric.reset_state()
        total = 0.0
        for number, share in enumerate(shares):
            if own[number]:  # a worker without windows left repeats its last, of no weight
                inputs, targets, weights = next(batches)
            loss = step(inputs, targets, weights, tf.constant(share, tf.float32))
            total += float(loss) * windows[number].sum()
        for variable, value in zip(
            metric.variables, workers.add([each.value for each in metric.variables]), strict=True
        ):
            variable.assign(value)
        logs = {metric.name: float(metric.result()), "loss": total / windows.sum()}
        _agree(trained, workers)
        if workers.is_chief and validation is not None:
            found = trained.evaluate(validation, return_dict=True, verbose=0)
            logs |= {f"val_{name}": value for name, value in found.items()}
        called.on_epoch_end(epoch, logs)
        if workers.from_chief(int(trained.stop_training)):
            break
    called.on_train_end()


def _agree(trained: TrainingModel, workers: Workers) -> None:
    """Check that all workers have the same variables; give them the chief's otherwise."""
    variables = [*trained.variables, *trained.optimizer.variables]
    if len(set(workers.checksums(variables))) > 1:
        # Other processors may round otherwise.
        logger.warning("the weights of the workers differ; all continue with those of worker 0")
        workers.broadcast(variables)
