"""Features to a trained localizer."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np

from avel_tf.data.examples import Examples, load_examples
from avel_tf.data.feature_store import FeatureStore
from avel_tf.models import (
    ModelSettings,
    SegmentCrossEntropy,
    build_model,
    fit_normalization,
    load_model,
)
from avel_tf.training.checkpoint import EpochCheckpoint
from avel_tf.training.memory import memory_for_features
from avel_tf.training.settings import TrainingSettings

logger = logging.getLogger(__name__)

MODEL = "model.keras"
# The rows of a batch do not meet in inference: any size gives the same figures.
VALIDATION_BATCH = 64


class TrainingError(ValueError):
    """Features that no model can be trained on."""


def train(
    store: FeatureStore,
    folder: str | Path,
    *,
    model_settings: ModelSettings | None = None,
    training: TrainingSettings | None = None,
    resume: bool = False,
    on_epoch: Callable[[dict[str, float]], None] | None = None,
) -> keras.Model:
    """Train a localizer; the epoch that is kept is chosen on the validation split alone.

    Writes `model.keras` (the best epoch), `history.csv`, `tensorboard/` and `checkpoint/` to
    `folder`. The same features, settings and seed give the same weights on the same machine.

    Args:
        store: The features.
        folder: The run's folder.
        model_settings: The network.
        training: Epochs, rates, seed.
        resume: Go on from the last epoch's end, exactly as if nothing had happened.
        on_epoch: Called with each epoch's row of the history.

    Returns:
        The best model.

    Raises:
        TrainingError: When the training split is empty or no second of it is an event.
        ValueError: When the checkpoint is of another model.
    """
    model_settings = model_settings or ModelSettings()
    training = training or TrainingSettings()
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    memory = memory_for_features(training.memory_gb)
    seconds = training.window_seconds
    examples = load_examples(store, "train", seconds=seconds, memory_bytes=memory, scratch=folder)
    left = max(memory - examples.nbytes, 0)
    validation = load_examples(
        store, "validation", seconds=seconds, memory_bytes=left, scratch=folder
    )
    _require_trainable(examples, store)

    model = build_model(
        model_settings,
        visual_width=store.recipe.visual.width,
        audio_width=store.recipe.audio.width,
        classes=len(store.labels),
        seed=training.seed,
    )
    fit_normalization(model, examples.valid_seconds("visual"), examples.valid_seconds("audio"))
    steps = math.ceil(len(examples) / training.batch_size)
    compile_model(model, training, steps)

    checkpoint = EpochCheckpoint(folder, folder / MODEL)
    first_epoch = checkpoint.restore(model) if resume else 0
    callbacks: list[keras.callbacks.Callback] = [
        checkpoint,
        keras.callbacks.TensorBoard(folder / "tensorboard", write_graph=False),
    ]
    if on_epoch:
        callbacks.append(
            keras.callbacks.LambdaCallback(
                on_epoch_end=lambda epoch, logs: on_epoch(checkpoint.history[-1])
            )
        )
    if not len(validation):
        logger.warning("There is no validation split: the last epoch is kept, not the best.")
    if first_epoch < training.epochs:
        model.fit(
            examples.batches(
                training.batch_size,
                seed=training.seed,
                first_epoch=first_epoch,
                epochs=training.epochs,
            ),
            shuffle=False,  # the batches come shuffled
            steps_per_epoch=steps,
            initial_epoch=first_epoch,
            epochs=training.epochs,
            validation_data=validation.in_order(VALIDATION_BATCH) if len(validation) else None,
            callbacks=callbacks,
            verbose=0,
        )
    return load_model(folder / MODEL)


def compile_model(model: keras.Model, training: TrainingSettings, steps: int) -> None:
    """Set optimizer, loss and metric.

    Args:
        model: A localizer.
        training: Rates and epochs.
        steps: Steps in an epoch; the rate rises over the first epoch and then falls to zero.
    """
    total = steps * training.epochs
    warmup = min(steps, total - 1)
    rate = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0 if warmup else training.learning_rate,
        decay_steps=max(total - warmup, 1),
        warmup_target=training.learning_rate if warmup else None,
        warmup_steps=warmup,
    )
    optimizer = keras.optimizers.AdamW(
        rate,
        weight_decay=training.weight_decay,
        # LSTMs meet exploding gradients; 1.0 is the usual norm (Pascanu et al. 2013).
        global_clipnorm=1.0,
    )
    # Decay pulls weights towards zero; biases and normalisation scales have no reason to go there.
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    model.compile(
        optimizer=optimizer,
        loss=SegmentCrossEntropy(training.label_smoothing),
        weighted_metrics=[keras.metrics.SparseCategoricalAccuracy(name="segment_accuracy")],
        # XLA makes an LSTM on a CPU some hundred times slower (docs/performance.md).
        jit_compile=False,
    )
    optimizer.build(model.trainable_variables)


def _require_trainable(examples: Examples, store: FeatureStore) -> None:
    if not len(examples):
        raise TrainingError(
            f"The training split of {store.folder} is empty: there is nothing to learn from. "
            f"{len(store.skipped)} videos were left out when the features were made; avel audit "
            "DATA says why."
        )
    if not np.any(examples.targets[examples.valid] != store.labels.background):
        raise TrainingError(
            f"Every second of the training split of {store.folder} is background. Check that the "
            "annotations' times lie within the videos: avel audit DATA."
        )
