"""Training of a localizer on features."""

from __future__ import annotations

import importlib.util
import logging
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path

import keras
import numpy as np

from avel_tf.embeddings.class_columns import NamedClasses
from avel_tf.features.examples import Examples, load_examples
from avel_tf.features.feature_store import FeatureStore
from avel_tf.features.overlaps import count_overlaps
from avel_tf.models import (
    FeatureNormalization,
    ModelSettings,
    build,
    calibrate_clip_evidence,
    check_head,
    fit_clip_evidence,
    fit_normalization,
    is_multi_label,
    load_model,
    losses_for,
    training_outputs,
)
from avel_tf.training.augmentation.augmentation import Augmentation, Statistics
from avel_tf.training.checkpoint import EpochCheckpoint
from avel_tf.training.distributed import fit_on_workers, share_of_batch, steps_on_all
from avel_tf.training.memory import memory_for_features
from avel_tf.training.metrics import ClipAccuracy, ClipF1, SegmentAccuracy, SegmentF1
from avel_tf.training.scheduled_adamw import ScheduledAdamW
from avel_tf.training.settings import TrainingSettings
from avel_tf.training.training_model import TrainingModel
from avel_tf.training.workers import Workers
from avel_tf.utils.durable_files import atomic_path

logger = logging.getLogger(__name__)

MODEL = "model.keras"
# Batch size does not affect inference results.
VALIDATION_BATCH = 64


class TrainingError(ValueError):
    """The features cannot be used to train a model."""


def fit(
    store: FeatureStore,
    folder: str | Path,
    *,
    model_settings: ModelSettings | None = None,
    training: TrainingSettings | None = None,
    resume: bool = False,
    on_epoch: Callable[[dict[str, float]], None] | None = None,
    workers: Workers | None = None,
) -> keras.Model:
    """Train a localizer and keep the epoch that is best on the validation split.

    Writes `model.keras` (the best epoch), `history.csv` and `checkpoint/` to `folder`, and
    `tensorboard/` if the extra `tensorboard` is installed. The same features, settings and seed
    give the same weights on the same machine.

    Args:
        store: The features.
        folder: The run's folder.
        model_settings: The network.
        training: Epochs, rates, seed.
        resume: Resume at the end of the last epoch; the result is that of an uninterrupted run.
        on_epoch: Called with each epoch's row of the history.
        workers: The processes that train together, all of which call this; None: this one alone.

    Returns:
        The best model; on workers other than the chief, that of the last epoch.

    Raises:
        TrainingError: The training split is empty, or all of its segments are background.
        ValueError: The checkpoint is of another model, or the head allows one event per clip and
            there are clips with several.
        WorkerLost: Another worker has ended.
    """
    model_settings = model_settings or ModelSettings()
    training = training or TrainingSettings()
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    memory = memory_for_features(training.memory_gb)
    load = partial(
        load_examples,
        store,
        seconds=training.window_seconds,
        supervision=training.supervision,
        multi_label=model_settings.multi_label,
        scratch=folder,
    )
    if workers:
        share_of_batch(training, workers)
        if not workers.is_chief:
            return _assist(store, load, model_settings, training, workers)
    examples = load("train", memory_bytes=memory)
    validation = load("validation", memory_bytes=max(memory - examples.nbytes, 0))
    _require_trainable(examples, store, training.supervision)
    check_head(model_settings, examples.targets, examples.valid, store.labels.names)
    if not model_settings.multi_label and (overlaps := count_overlaps(store, "train")):
        logger.warning("%s", overlaps.message(model_settings.head))

    model = _build(store, model_settings, training)
    fit_normalization(model, examples.valid_seconds("visual"), examples.valid_seconds("audio"))
    fit_clip_evidence(model, examples.visual, examples.audio, examples.valid, examples.targets)
    if workers:  # all of the examples were needed for the statistics only
        examples = load("train", memory_bytes=memory, part=workers.part)
        windows = steps_on_all(examples, training, workers)
        steps = len(windows)
    else:
        steps = math.ceil(len(examples) / training.batch_size)
    trained = compile_model(model, training, steps)

    checkpoint = EpochCheckpoint(
        folder, folder / MODEL, localizer=model, patience=training.patience
    )
    first_epoch = checkpoint.restore(trained) if resume else 0
    callbacks: list[keras.callbacks.Callback] = [checkpoint]
    if importlib.util.find_spec("tensorboard"):  # the extra avel-tf[tensorboard]
        callbacks.append(keras.callbacks.TensorBoard(folder / "tensorboard", write_graph=False))
    if on_epoch:
        callbacks.append(
            keras.callbacks.LambdaCallback(
                on_epoch_end=lambda epoch, logs: on_epoch(checkpoint.history[-1])
            )
        )
    if not len(validation):
        logger.warning("There is no validation split: the last epoch is kept, not the best.")
    unfinished = first_epoch < training.epochs and not checkpoint.is_over
    if workers:
        fit_on_workers(
            trained,
            examples,
            workers,
            windows=windows,
            training=training,
            metric=accuracy_for(model, training),
            first_epoch=first_epoch if unfinished else training.epochs,
            augment=partial(augmentation_for, model, training),
            validation=validation.in_order(VALIDATION_BATCH) if len(validation) else None,
            callbacks=callbacks,
        )
    elif unfinished:
        trained.fit(
            examples.batches(
                training.batch_size,
                seed=training.seed,
                first_epoch=first_epoch,
                epochs=training.epochs,
                augment=augmentation_for(model, training),
            ),
            shuffle=False,  # the batches are shuffled already
            steps_per_epoch=steps,
            initial_epoch=first_epoch,
            epochs=training.epochs,
            validation_data=validation.in_order(VALIDATION_BATCH) if len(validation) else None,
            callbacks=callbacks,
            verbose=0,
        )
    best = load_model(folder / MODEL)
    # Weak supervision must not use the times of validation events.
    calibrates = len(validation) > 0 and training.supervision == "full"
    if calibrates and calibrate_clip_evidence(best, validation.in_order(VALIDATION_BATCH)):
        with atomic_path(folder / MODEL, sole_writer=True) as temporary:
            best.save(temporary)
    return best


def _assist(
    store: FeatureStore,
    load: Callable[..., Examples],
    model_settings: ModelSettings,
    training: TrainingSettings,
    workers: Workers,
) -> keras.Model:
    """Train as a worker that is not the chief, from which everything but the examples comes."""
    examples = load(
        "train", memory_bytes=memory_for_features(training.memory_gb), part=workers.part
    )
    windows = steps_on_all(examples, training, workers)
    model = _build(store, model_settings, training)
    fit_on_workers(
        compile_model(model, training, len(windows)),
        examples,
        workers,
        windows=windows,
        training=training,
        metric=accuracy_for(model, training),
        augment=partial(augmentation_for, model, training),
    )
    return model


def _build(
    store: FeatureStore, model_settings: ModelSettings, training: TrainingSettings
) -> keras.Model:
    return build(
        model_settings,
        visual_width=store.recipe.visual.width,
        audio_width=store.recipe.audio.width,
        visual_places=store.recipe.visual.places,
        visual_scores=store.recipe.visual.score_width,
        audio_scores=store.recipe.audio.score_width,
        named=NamedClasses.of(store.recipe, store.labels.names),
        classes=len(store.labels),
        seed=training.seed,
    )


def compile_model(model: keras.Model, training: TrainingSettings, steps: int) -> TrainingModel:
    """Compile a localizer for training.

    Args:
        model: A localizer.
        training: Rates and epochs.
        steps: Steps per epoch. The learning rate rises over the first epoch and then falls to zero.

    Returns:
        The model to fit: the localizer, whose weights it shares, with its auxiliary outputs.
    """
    total = steps * training.epochs
    warmup = min(steps, total - 1)
    rate = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0 if warmup else training.learning_rate,
        decay_steps=max(total - warmup, 1),
        warmup_target=training.learning_rate if warmup else None,
        warmup_steps=warmup,
    )
    optimizer = ScheduledAdamW(
        rate,
        weight_decay=training.weight_decay,
        # LSTM gradients can explode; 1.0 is the usual norm (Pascanu et al. 2013).
        global_clipnorm=1.0,
        use_ema=training.weight_averaging > 0,
        ema_momentum=training.weight_averaging,
    )
    # Biases and normalisation scales have no reason to be near zero.
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    losses, weights = losses_for(
        model, supervision=training.supervision, label_smoothing=training.label_smoothing
    )
    trained = TrainingModel(training_outputs(model), losses, weights)
    trained.compile(
        optimizer=optimizer,
        weighted_metrics=[accuracy_for(model, training)],
        # XLA makes an LSTM on a CPU some hundred times slower (docs/design/performance.md).
        jit_compile=False,
    )
    optimizer.build(trained.trainable_variables)
    return trained


def accuracy_for(model: keras.Model, training: TrainingSettings) -> keras.metrics.Metric:
    """The metric of training that suits a model and its supervision."""
    weak = training.supervision == "weak"
    if is_multi_label(model):
        return ClipF1() if weak else SegmentF1()
    return ClipAccuracy() if weak else SegmentAccuracy()


def augmentation_for(model: keras.Model, training: TrainingSettings) -> Augmentation | None:
    """Augmentation for the batches of a localizer.

    Args:
        model: A localizer with fitted normalisation.
        training: The augmentations and their strengths.

    Returns:
        The augmentation, or None if all are switched off.
    """
    statistics = {}
    for layer in model.layers:
        if isinstance(layer, FeatureNormalization):
            modality = layer.name.removesuffix("_normalization")
            mean, variance = layer.get_weights()  # [D] each, or [channels] of a map
            places = model.input[modality].shape[-1] // len(mean)
            statistics[modality] = Statistics(
                np.tile(mean, places), np.tile(np.sqrt(variance), places)
            )
    classes = model.output.shape[-1] - 1
    augmentation = Augmentation(
        training.augmentation,
        classes,
        statistics,
        clip_labels=training.supervision == "weak",
    )
    return augmentation if augmentation else None


def _require_trainable(examples: Examples, store: FeatureStore, supervision: str) -> None:
    if "train" in store.weak_splits and supervision != "weak":
        raise TrainingError(
            f"The training split of {store.folder} has no times of events. "
            "Set training.supervision=weak."
        )
    if not len(examples):
        raise TrainingError(
            f"The training split of {store.folder} is empty. "
            f"{len(store.skipped)} videos were left out when the features were made; avel audit "
            "DATA says why."
        )
    targets = examples.targets[examples.valid]  # [n] or [n, C+1]
    events = targets[:, :-1] if targets.ndim == 2 else targets != store.labels.background
    if not np.any(events):
        raise TrainingError(
            f"All segments of the training split of {store.folder} are background. Check that the "
            "annotations' times lie within the videos: avel audit DATA."
        )
