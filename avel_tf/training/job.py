"""Training job: data set or features in, run folder with model, metrics and plots out."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras

from avel_tf.config import Config, Configuration, differences, resolve_config, settings_before
from avel_tf.embeddings import compact
from avel_tf.embeddings.recipe import Recipe
from avel_tf.embeddings.settings import (
    COMPACT,
    AudioSettings,
    EmbeddingSettings,
    VisualSettings,
)
from avel_tf.evaluation.fitting import fit_postprocessing
from avel_tf.evaluation.history import rank
from avel_tf.evaluation.on_features import predict_split
from avel_tf.evaluation.predictions_file import write_predictions
from avel_tf.evaluation.seeds import aggregate_seeds
from avel_tf.evaluation.split_predictions import SplitPredictions
from avel_tf.events.postprocessing import Postprocessing
from avel_tf.features.annotation_changes import AnnotationChanges
from avel_tf.features.feature_store import SPLITS, FeatureStore, is_feature_store
from avel_tf.models.settings import NO_MAPS
from avel_tf.reports.training_figures import write_plots
from avel_tf.training.features import Data, open_features
from avel_tf.training.fit import fit
from avel_tf.training.run import Run, probabilities_of
from avel_tf.training.workers import Workers

# Files that the best seed's run gives to the folder of a job with several seeds.
RUN_FILES = (
    *("model.keras", "history.csv", "labels.txt", "manifest.json"),
    *("decoder.json", "predictions.jsonl"),
)
OnEpoch = Callable[[dict[str, float]], None]


@dataclass(frozen=True)
class Seed:
    """One of the runs of a job with several seeds.

    Args:
        number: The seed.
        folder: Folder of its run.
        config: Its settings.
        resume: Continue an interrupted run.
    """

    number: int
    folder: Path
    config: Config
    resume: bool


EachSeed = Callable[[FeatureStore, Sequence[Seed]], list[dict[str, Any]]]


def train(
    data: Data,
    folder: str | Path,
    config: Configuration = None,
    *,
    seeds: int = 1,
    resume: bool = False,
    on_epoch: OnEpoch | None = None,
    on_seed: Callable[[int], None] | None = None,
    on_relabel: Callable[[AnnotationChanges], None] | None = None,
    progress: Callable[[int, int], None] | None = None,
    workers: Workers | None = None,
    each_seed: EachSeed | None = None,
) -> Run:
    """Train a localizer, fit its postprocessing on validation, and evaluate it once on test.

    Nothing is printed. The folder receives the configuration, the model, the history, the fitted
    postprocessing, `metrics.json`, `predictions.jsonl` and plots; docs/guide/training.md lists the
    files. Features of a data set are extracted to `features/` in the folder.

    Args:
        data: A data set, a feature store, or the path of either.
        folder: Folder of the run.
        config: Settings: a YAML file, a `Config`, or a mapping such as `{"training.epochs": 5}`;
            the defaults when None. If `data` is a feature store, the embedding settings are taken
            from it.
        seeds: Number of runs, with the seeds `training.seed`, `training.seed + 1` and so on. With
            more than one, each run has a folder `seed-N`, and the folder itself receives the model
            that is best on validation and the metrics of all.
        resume: Continue an interrupted run from the end of its last epoch. The result is the same
            as without the interruption.
        on_epoch: Called with each epoch's row of the history.
        on_seed: Called with the seed before each of several runs.
        on_relabel: Called with the changes if a resumed run starts anew because labels changed.
        progress: Called after each extracted video with the number done and the total.
        workers: The processes that train together, of which this is the chief; the others call
            `assist`. `data` must be a feature store then.
        each_seed: Trains several seeds, such as `seeds_on_cluster` does; returns the metrics of
            each. None: one after the other.

    Returns:
        The finished run.

    Raises:
        ConfigError: A setting is unknown or out of range.
        DatasetError: The annotations cannot be read.
        ValueError: The folder holds something else or a run with other settings, the features do
            not suit the settings, or no split can be evaluated.

    Example:
        >>> run = avel_tf.train("DATA", "RUN", {"training.epochs": 5})
        >>> run.metrics["segment_accuracy"]
        0.92
    """
    config, folder = resolve_config(config), Path(folder)
    if isinstance(data, FeatureStore):
        config = with_recipe(config, data.recipe)
    elif isinstance(data, str | Path) and is_feature_store(data):
        config = with_recipe(config, FeatureStore(data).recipe)
    # Checked before the extraction, which may take hours.
    if config.model.spatial_attention and not config.embeddings.visual.maps:
        raise ValueError(NO_MAPS)
    if seeds < 1:
        raise ValueError(f"seeds (--seeds) must be at least 1. Received: {seeds}")
    check_folder(folder, config, resume=resume)
    if workers:
        require_feature_store(data)

    def begin_anew(changes: AnnotationChanges) -> None:
        if on_relabel:
            on_relabel(changes)
        _discard_training(folder)

    store = open_features(
        data, config, folder / "features", reuse=resume, on_relabel=begin_anew, progress=progress
    )
    if seeds == 1:
        _train_once(store, folder, config, resume=resume, on_epoch=on_epoch, workers=workers)
        return Run(folder, features=store)

    # Written first, because a resumed job is checked against it.
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(config.to_yaml(), encoding="utf-8")
    runs = [
        Seed(each.training.seed, folder / f"seed-{each.training.seed}", each, resume)
        for each in _each_seed(config, seeds)
    ]
    if each_seed:
        all_metrics = each_seed(store, runs)
    else:
        all_metrics = []
        for run in runs:
            if on_seed:
                on_seed(run.number)
            all_metrics.append(
                _train_once(
                    *(store, run.folder, run.config),
                    resume=resume,
                    on_epoch=on_epoch,
                    workers=workers,
                )
            )
    best = max((run.folder for run in runs), key=_rank_on_validation)
    for name in RUN_FILES:
        shutil.copyfile(best / name, folder / name)
    metrics = aggregate_seeds(all_metrics)
    write_metrics(folder, metrics)
    write_plots(folder, metrics, store.labels)
    return Run(folder, features=store)


def train_seed(store: FeatureStore, seed: Seed, *, resume: bool) -> dict[str, Any]:
    """Train and evaluate one seed of several.

    Args:
        store: The features.
        seed: The run.
        resume: Continue an interrupted run.

    Returns:
        The content of its `metrics.json`.
    """
    return _train_once(store, seed.folder, seed.config, resume=resume, on_epoch=None, workers=None)


def assist(
    data: Data, config: Configuration = None, *, seeds: int = 1, workers: Workers
) -> list[keras.Model]:
    """Train as a worker that is not the chief, which calls `train`. Nothing is written.

    Args:
        data: The feature store of the chief, or a copy of it.
        config: The chief's settings.
        seeds: The chief's.
        workers: The processes that train together.

    Returns:
        The model of the last epoch for each seed; its weights are those of the chief.

    Raises:
        ValueError: `data` is no feature store.
        WorkerLost: Another worker has ended.
    """
    require_feature_store(data)
    store = data if isinstance(data, FeatureStore) else FeatureStore(str(data))
    config = with_recipe(resolve_config(config), store.recipe)
    return [
        fit(
            store,
            tempfile.gettempdir(),  # for features that do not fit into memory
            model_settings=each.model,
            training=each.training,
            workers=workers,
        )
        for each in _each_seed(config, seeds)
    ]


def require_feature_store(data: Data) -> None:
    """Refuse data that several workers cannot train on.

    Raises:
        ValueError: `data` is no feature store.
    """
    if not isinstance(data, FeatureStore) and not (
        isinstance(data, str | Path) and is_feature_store(data)
    ):
        raise ValueError(
            f"Several workers train on features. Received: {data}. Extract them first: "
            "avel extract DATA --out FEATURES."
        )


def _each_seed(config: Config, seeds: int) -> list[Config]:
    first = config.training.seed
    return [
        replace(config, training=replace(config.training, seed=seed))
        for seed in range(first, first + seeds)
    ]


def _train_once(
    store: FeatureStore,
    folder: Path,
    config: Config,
    *,
    resume: bool,
    on_epoch: OnEpoch | None,
    workers: Workers | None,
) -> dict[str, Any]:
    """Train and evaluate one seed; returns the content of `metrics.json`."""
    _timed_splits(store)  # Refuses before training what could not be evaluated after it.
    if resume:
        Run.require_same_features(folder, store)
    Run.begin(
        folder,
        config_yaml=config.to_yaml(),
        labels=store.labels,
        recipe=store.recipe,
        features=store.digests,
    )
    model = fit(
        store,
        folder,
        model_settings=config.model,
        training=config.training,
        resume=resume,
        on_epoch=on_epoch,
        workers=workers,
    )
    postprocessing = fit_on_validation(model, store, config)
    postprocessing.save(folder)
    predictions = predict_test(model, store, config, postprocessing)
    metrics = predictions.metrics(postprocessing, seed=config.training.seed)
    write_predictions(folder, predictions.outcomes(postprocessing), store.labels)
    write_metrics(folder, metrics)
    write_plots(folder, metrics, store.labels)
    return metrics


def fit_on_validation(model: keras.Model, store: FeatureStore, config: Config) -> Postprocessing:
    """Fit temperature, thresholds and the rules for events on the validation split.

    Nothing is fitted without labels of validation segments, and under weak supervision, which must
    not use them: the temperature is then 1, and thresholds are 0.5.
    """
    if "validation" in _timed_splits(store) and config.training.supervision == "full":
        predictions = predict_split(
            probabilities_of(model), store, "validation", **_windows(config)
        )
        return fit_postprocessing(predictions)
    half = (0.5,) * len(store.labels)
    return Postprocessing(thresholds=half if config.model.multi_label else None)


def predict_test(
    model: keras.Model, store: FeatureStore, config: Config, postprocessing: Postprocessing
) -> SplitPredictions:
    """Predict the test split; the validation or the training split where there is no such."""
    predict = probabilities_of(model, postprocessing.temperature)
    return predict_split(predict, store, _timed_splits(store)[-1], **_windows(config))


def _timed_splits(store: FeatureStore) -> list[str]:
    """Splits with videos whose events have times, in the order train, validation, test."""
    timed = [split for split in SPLITS if store.count(split) and split not in store.weak_splits]
    if not timed:
        raise ValueError(
            f"No split of {store.folder} has the times of its events, so the model could not be "
            "evaluated. Add a test split with times."
        )
    return timed


def _windows(config: Config) -> dict[str, Any]:
    return {
        "window_seconds": config.training.window_seconds,
        "hop_seconds": min(config.inference.hop_seconds, config.training.window_seconds),
        "multi_label": config.model.multi_label,
    }


def write_metrics(folder: str | Path, metrics: dict[str, Any]) -> None:
    """Write `metrics.json`."""
    path = Path(folder) / "metrics.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(metrics, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def with_recipe(config: Config, recipe: Recipe) -> Config:
    """Replace the embedding settings of a configuration by those of existing features.

    An export loads its backbones by the configuration of the run, so it must name the backbones
    that made the features.
    """

    def module(name: str) -> str:
        return COMPACT if name == compact.NAME else name

    return replace(
        config,
        embeddings=EmbeddingSettings(
            VisualSettings(
                module=module(recipe.visual.module),
                frames_per_second=recipe.visual.frames_per_second,
                size=recipe.visual.size,
                maps=recipe.visual.places > 1,
                endpoint=recipe.visual.endpoint,
            ),
            AudioSettings(
                module=module(recipe.audio.module),
                activation=recipe.audio.activation,  # type: ignore[arg-type]
                output=config.embeddings.audio.output,
            ),
            scores=recipe.visual.vocabulary is not None,
            scored_classes=config.embeddings.scored_classes,
        ),
    )


def check_folder(folder: str | Path, config: Config, *, resume: bool) -> None:
    """Refuse to overwrite a run or other files, or to resume a run with other settings.

    Raises:
        ValueError: The message lists the settings that differ, and the ways to continue.
    """
    folder = Path(folder)
    path = folder / "config.yaml"
    if not path.is_file():
        if folder.is_dir() and not all(_belongs_to_features(each) for each in folder.iterdir()):
            raise ValueError(
                f"{folder} exists and is not a training run. Choose another folder (--out), or "
                "remove it."
            )
        return
    if not resume:
        raise ValueError(
            f"{folder} holds a training run. Continue it with --resume (resume=True), choose "
            "another folder (--out), or remove it."
        )
    began = path.read_text(encoding="utf-8")
    if changed := differences(began, config):
        older = "".join(f" --set {setting}" for setting in settings_before(began))
        raise ValueError(
            f"The run in {folder} began with other settings, recorded in {path}: "
            f"{'; '.join(changed)}. Resume with --config {path}{older}, or choose another folder "
            "(--out)."
        )


def _belongs_to_features(path: Path) -> bool:
    """Return True for features in a run's folder, finished or interrupted."""
    return path.name == "features" or path.match(".features.*.partial")


def _discard_training(folder: Path) -> None:
    """Remove the checkpoints of a job whose labels have changed."""
    for run_folder in (folder, *folder.glob("seed-*")):
        shutil.rmtree(run_folder / "checkpoint", ignore_errors=True)
        (run_folder / "manifest.json").unlink(missing_ok=True)


def _rank_on_validation(folder: Path) -> float:
    return max(rank(row)[0] for row in Run(folder).history)
