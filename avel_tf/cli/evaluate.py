"""avel evaluate: measure a model on a split."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from avel_tf.cli.common import add_config_arguments
from avel_tf.cli.corrupted import add_corrupt_arguments, run_corrupted
from avel_tf.cli.paths import input_folder, output_folder

if TYPE_CHECKING:
    from avel_tf.config import Config
    from avel_tf.embeddings.recipe import Recipe
    from avel_tf.engines.windows import Predict
    from avel_tf.evaluation.clip_outcome import ClipOutcome
    from avel_tf.evaluation.split_predictions import SplitPredictions
    from avel_tf.events.labels import Labels
    from avel_tf.events.postprocessing import Postprocessing
    from avel_tf.features.feature_store import FeatureStore


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument(
        "model", type=input_folder, metavar="RUN|SAVED_MODEL", help="what train or export wrote"
    )
    parser.add_argument("data", type=Path, metavar="DATA|FEATURES")
    parser.add_argument("--split", default="test", help="train, validation or test (default)")
    parser.add_argument(
        "--against",
        type=input_folder,
        metavar="RUN|SAVED_MODEL",
        help="compare with another model on the same clips, by a paired bootstrap",
    )
    parser.add_argument(
        "--out",
        type=output_folder,
        metavar="DIR",
        help="write metrics.json and predictions.jsonl there",
    )
    add_corrupt_arguments(parser)
    add_config_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Print the metrics; write them where `--out` says."""
    if options.corrupt:
        return run_corrupted(
            [_open(path, options) for path in (options.model, *options.beside)], options
        )
    from avel_tf.cli.train import write_metrics
    from avel_tf.evaluation.predictions_file import write_predictions
    from avel_tf.evaluation.summary import summary

    metrics, outcomes, labels = evaluate(options)
    print(summary(metrics))
    if options.out:
        write_metrics(options.out, metrics)
        write_predictions(options.out, outcomes, labels)
        print(f"The metrics lie in {options.out / 'metrics.json'}")
    return 2 if metrics["skipped"] else 0


def evaluate(
    options: argparse.Namespace,
) -> tuple[dict[str, Any], list[ClipOutcome], Labels]:
    """What `metrics.json` and `predictions.jsonl` hold for a model on a split, and its classes."""
    from avel_tf.evaluation.paired import paired_bootstrap
    from avel_tf.features.overlaps import count_overlaps

    model = _open(options.model, options)
    with tempfile.TemporaryDirectory() as scratch:
        store = _features(model, options, Path(scratch) / "features")
        other = _open(options.against, options) if options.against else None
        # Two models are compared by what either can say.
        every = model.postprocessing.multi_label or bool(other and other.postprocessing.multi_label)
        predictions = _predict(model, store, options.split, every)
        if not every and (overlaps := count_overlaps(store, options.split)):
            print(overlaps.message("of this model"), flush=True)
        seed = model.config.training.seed
        metrics = predictions.metrics(model.postprocessing, seed=seed)
        outcomes = predictions.outcomes(model.postprocessing)
        if other:
            if other.recipe.fingerprint != model.recipe.fingerprint:
                store = _features(other, options, Path(scratch) / "others")
            _require_same_classes(other, store.labels, options.data)
            theirs = _predict(other, store, options.split, every).outcomes(other.postprocessing)
            compared = paired_bootstrap(outcomes, theirs, model.labels, seed=seed)
            metrics["against"] = {"model": str(options.against), **compared}
    return metrics, outcomes, model.labels


class OpenedModel(NamedTuple):
    """What is needed of a run or of an exported model."""

    path: Path
    predict: Predict
    recipe: Recipe
    labels: Labels
    postprocessing: Postprocessing
    config: Config


def _features(model: OpenedModel, options: argparse.Namespace, scratch: Path) -> FeatureStore:
    """The features of DATA that a model wants, or FEATURES if they are these."""
    from avel_tf.cli.common import features_of, is_feature_store

    store = features_of(options.data, model.config, scratch)
    try:
        model.recipe.require_same(store.recipe, ours=str(model.path), theirs=str(options.data))
    except ValueError as error:
        if options.against and is_feature_store(options.data):
            raise ValueError(
                f"{error} Two models of different recipes are compared on the videos themselves: "
                "give the data set in place of the features, and each model has its own made."
            ) from error
        raise
    _require_same_classes(model, store.labels, options.data)
    return store


def _require_same_classes(model: OpenedModel, labels: Labels, data: Path) -> None:
    if labels != model.labels:
        raise ValueError(
            f"{model.path} knows the classes {', '.join(model.labels.names)}; {data} has "
            f"{', '.join(labels.names)}. Measure on a data set with the same classes."
        )


def _predict(
    model: OpenedModel, store: FeatureStore, split: str, all_labels: bool
) -> SplitPredictions:
    from avel_tf.evaluation.on_features import predict_split

    return predict_split(
        model.predict,
        store,
        split,
        window_seconds=model.config.inference.window_seconds,
        hop_seconds=model.config.inference.hop_seconds,
        multi_label=model.postprocessing.multi_label,
        all_labels=all_labels,
    )


def _open(path: Path, options: argparse.Namespace) -> OpenedModel:
    """What is needed of a run or of an exported model."""
    from avel_tf.config import load_config
    from avel_tf.utils.lazy_imports import load_tensorflow

    load_tensorflow()
    if (path / "model.keras").is_file():
        from avel_tf.training.run import Run, probabilities_of

        trained = Run(path)
        config = load_config(options.config or path / "config.yaml", options.overrides)
        predict = probabilities_of(trained.model(), trained.postprocessing.temperature)
        return OpenedModel(
            path, predict, trained.recipe, trained.labels, trained.postprocessing, config
        )
    from avel_tf.engines.settings import EngineSettings
    from avel_tf.inference.localizer import Localizer

    # From features only the localizer is left to run, and that is float32 by every engine.
    localizer = Localizer(path, engine=EngineSettings("tensorflow", "float32"))
    config = load_config(
        options.config or localizer.folder / "assets" / "config.yaml", options.overrides
    )
    return OpenedModel(
        path,
        localizer.predict,
        localizer.recipe,
        localizer.labels,
        localizer.postprocessing,
        config,
    )
