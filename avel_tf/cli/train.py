"""avel train: mp4 files or features to a trained model."""

from __future__ import annotations

import argparse
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from avel_tf.cli.common import (
    add_config_arguments,
    config_of,
    is_feature_store,
)
from avel_tf.cli.paths import output_folder
from avel_tf.models.settings import NO_MAPS
from avel_tf.utils.lazy_imports import load_tensorflow

if TYPE_CHECKING:
    from avel_tf.config import Config
    from avel_tf.features.feature_store import FeatureStore

# What stands in a run's folder and belongs to its best model.
RUN_FILES = (
    *("model.keras", "history.csv", "labels.txt", "manifest.json"),
    *("decoder.json", "predictions.jsonl"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument(
        "data", type=Path, metavar="DATA|FEATURES", help="a data set, or what avel extract wrote"
    )
    parser.add_argument("--out", type=output_folder, required=True, metavar="RUN")
    parser.add_argument(
        "--model", help="avel (default), bi_avatt, bi_vaatt, audio_only or visual_only"
    )
    parser.add_argument(
        "--supervision",
        help="full (default), or weak: training knows which events a video holds, and not when",
    )
    parser.add_argument("--seeds", type=int, default=1, metavar="N", help="train N times")
    parser.add_argument(
        "--resume", action="store_true", help="go on from the last epoch's end, exactly"
    )
    add_config_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Train, choose the epoch on validation, measure once on test."""
    if options.model:
        options.overrides = [*options.overrides, f"model.name={options.model}"]
    if options.supervision:
        options.overrides = [*options.overrides, f"training.supervision={options.supervision}"]
    config = config_of(options)
    if is_feature_store(options.data):
        config = _with_recipe_of(options.data, config)
    # Here, and not after hours of embedding.
    if config.model.spatial_attention and not config.embeddings.visual.maps:
        raise ValueError(NO_MAPS)
    if options.seeds < 1:
        raise ValueError(f"--seeds must be at least 1. Received: {options.seeds}")
    _check_folder(options.out, config, resume=options.resume)
    from avel_tf.cli.common import features_of

    store = features_of(
        options.data,
        config,
        options.out / "features",
        reuse=options.resume,
        on_relabel=lambda changes: _begin_anew(options.out, changes),
    )
    if options.seeds == 1:
        metrics = train_once(store, options.out, config, resume=options.resume)
    else:
        metrics = _train_seeds(store, options, config)
    from avel_tf.evaluation.summary import summary

    print(summary(metrics))
    print(f"The run lies in {options.out}")
    return 2 if store.skipped else 0


def _begin_anew(folder: Path, changes: object) -> None:
    """Forget what was learned from labels that have changed since."""
    print(f"The annotations have changed: {changes}. The features stay; training begins anew.")
    for run_folder in (folder, *folder.glob("seed-*")):
        shutil.rmtree(run_folder / "checkpoint", ignore_errors=True)
        (run_folder / "manifest.json").unlink(missing_ok=True)


def train_once(
    store: FeatureStore, folder: Path, config: Config, *, resume: bool = False
) -> dict[str, Any]:
    """One run: train, measure, write its folder; returns what `metrics.json` holds."""
    from avel_tf.evaluation.fitting import fit_postprocessing
    from avel_tf.evaluation.on_features import predict_split
    from avel_tf.evaluation.predictions_file import write_predictions
    from avel_tf.events.postprocessing import Postprocessing
    from avel_tf.features.feature_store import SPLITS
    from avel_tf.reports.training_figures import write_plots
    from avel_tf.training.run import Run, probabilities_of
    from avel_tf.training.train import train

    timed = [split for split in SPLITS if store.count(split) and split not in store.weak_splits]
    if not timed:
        raise ValueError(
            f"No split of {store.folder} says when its events happen, so nothing could be measured "
            "after training. Add a test split with times."
        )
    if resume:
        Run.require_same_features(folder, store)
    Run.begin(
        folder,
        config_yaml=config.to_yaml(),
        labels=store.labels,
        recipe=store.recipe,
        features=store.digests,
    )
    model = train(
        store,
        folder,
        model_settings=config.model,
        training=config.training,
        resume=resume,
        on_epoch=lambda row: _print_epoch(row, config.training.epochs),
    )
    windows: dict[str, Any] = {
        "window_seconds": config.training.window_seconds,
        "hop_seconds": min(config.inference.hop_seconds, config.training.window_seconds),
        "multi_label": config.model.multi_label,
    }
    half = (0.5,) * len(store.labels)
    postprocessing = Postprocessing(thresholds=half if config.model.multi_label else None)
    # Fitted on the seconds' labels, which weak supervision does without on validation, too.
    if "validation" in timed and config.training.supervision == "full":
        predict = probabilities_of(model)
        postprocessing = fit_postprocessing(predict_split(predict, store, "validation", **windows))
    postprocessing.save(folder)
    split = timed[-1]  # test, else validation, else train
    predict = probabilities_of(model, postprocessing.temperature)
    predictions = predict_split(predict, store, split, **windows)
    metrics = predictions.metrics(postprocessing, seed=config.training.seed)
    write_predictions(folder, predictions.outcomes(postprocessing), store.labels)
    write_metrics(folder, metrics)
    write_plots(folder, metrics, store.labels)
    return metrics


def write_metrics(folder: Path, metrics: dict[str, Any]) -> None:
    """Write `metrics.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(metrics, indent=2, allow_nan=False)
    (folder / "metrics.json").write_text(text + "\n", encoding="utf-8")


def _train_seeds(
    store: FeatureStore, options: argparse.Namespace, config: Config
) -> dict[str, Any]:
    """Several runs that differ in their seed alone; the folder holds the best on validation."""
    from avel_tf.evaluation.seeds import aggregate_seeds
    from avel_tf.reports.training_figures import write_plots

    # Written first: --resume holds the configuration against it.
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "config.yaml").write_text(config.to_yaml(), encoding="utf-8")
    all_metrics, folders = [], []
    for seed in range(config.training.seed, config.training.seed + options.seeds):
        folder = options.out / f"seed-{seed}"
        print(f"seed {seed}:")
        seeded = replace(config, training=replace(config.training, seed=seed))
        all_metrics.append(train_once(store, folder, seeded, resume=options.resume))
        folders.append(folder)
    best = max(folders, key=_best_on_validation)
    for name in RUN_FILES:
        shutil.copyfile(best / name, options.out / name)
    metrics = aggregate_seeds(all_metrics)
    write_metrics(options.out, metrics)
    write_plots(options.out, metrics, store.labels)
    return metrics


def _with_recipe_of(features: Path, config: Config) -> Config:
    """The configuration with the embeddings that the features were made by.

    What is exported later loads its backbones from the run's configuration; features are what
    they are, whatever the configuration says of embeddings.
    """
    load_tensorflow()
    from avel_tf.embeddings.settings import AudioSettings, EmbeddingSettings, VisualSettings
    from avel_tf.features.feature_store import FeatureStore

    recipe = FeatureStore(features).recipe
    return replace(
        config,
        embeddings=EmbeddingSettings(
            VisualSettings(
                module=_module_setting(recipe.visual.module),
                frames_per_second=recipe.visual.frames_per_second,
                size=recipe.visual.size,
                maps=recipe.visual.places > 1,
                endpoint=recipe.visual.endpoint,
            ),
            AudioSettings(
                module=_module_setting(recipe.audio.module),
                activation=recipe.audio.activation,
                output=config.embeddings.audio.output,
            ),
        ),
    )


def _module_setting(name: str) -> str:
    """What to write in a configuration for a module that a recipe names."""
    from avel_tf.embeddings import compact
    from avel_tf.embeddings.settings import COMPACT

    return COMPACT if name == compact.NAME else name


def _best_on_validation(folder: Path) -> float:
    from avel_tf.evaluation.history import rank
    from avel_tf.reports.training_figures import read_history

    return max(rank(row)[0] for row in read_history(folder / "history.csv"))


def _check_folder(folder: Path, config: Config, *, resume: bool) -> None:
    """Never train over another run, and never resume a run with other settings."""
    path = folder / "config.yaml"
    if not path.is_file():
        if folder.is_dir() and any(not _is_of_features(each) for each in folder.iterdir()):
            raise ValueError(
                f"{folder} exists and is no training run. Choose another --out, or remove it."
            )
        return
    if not resume:
        raise ValueError(
            f"{folder} holds a training run. Go on with it by --resume, choose another --out, or "
            "remove it."
        )
    from avel_tf.config import differences

    if changed := differences(path.read_text(encoding="utf-8"), config):
        raise ValueError(
            f"The run in {folder} began with other settings, which stand in {path}: "
            f"{'; '.join(changed)}. Resume with --config {path}, or choose another --out."
        )


def _is_of_features(path: Path) -> bool:
    """Features that lie in a run's folder, or what a killed process left of their making."""
    return path.name == "features" or path.match(".features.*.partial")


def _print_epoch(row: dict[str, float], epochs: int) -> None:
    from avel_tf.evaluation.history import accuracy_of

    accuracy = accuracy_of(row)
    name = {
        "clip_accuracy": "accuracy of clips",
        "segment_f1": "F1 of segments",
        "clip_f1": "F1 of clips",
    }.get(accuracy, "accuracy")
    validation = (
        f", validation loss {row['val_loss']:.3f}, {name} {row[f'val_{accuracy}']:.3f}"
        if "val_loss" in row
        else ""
    )
    print(
        f"epoch {row['epoch']:3.0f} of {epochs}: loss {row['loss']:.3f}, "
        f"{name} {row[accuracy]:.3f}{validation}",
        flush=True,
    )
