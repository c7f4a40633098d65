"""avel evaluate: measure a model on a split."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from avel_tf.commands.common import add_config_arguments

if TYPE_CHECKING:
    from avel_tf.config import Config
    from avel_tf.embeddings.recipe import Recipe
    from avel_tf.labels import Labels


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument(
        "model", type=Path, metavar="RUN|SAVED_MODEL", help="what train or export wrote"
    )
    parser.add_argument("data", type=Path, metavar="DATA|FEATURES")
    parser.add_argument("--split", default="test", help="train, validation or test (default)")
    parser.add_argument("--out", type=Path, metavar="DIR", help="write metrics.json there")
    add_config_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Print the metrics; write them where `--out` says."""
    from avel_tf.commands.train import summary, write_metrics

    metrics = evaluate(options)
    print(summary(metrics))
    if options.out:
        write_metrics(options.out, metrics)
        print(f"The metrics lie in {options.out / 'metrics.json'}")
    return 2 if metrics["skipped"] else 0


def evaluate(options: argparse.Namespace) -> dict[str, Any]:
    """What `metrics.json` holds for a run or an exported model on a split."""
    from avel_tf.commands.common import features_of
    from avel_tf.evaluation.on_features import evaluate_features

    predict, recipe, labels, config = _open(options)
    with tempfile.TemporaryDirectory() as scratch:
        store = features_of(options.data, config, Path(scratch) / "features")
        recipe.require_same(store.recipe, ours=str(options.model), theirs=str(options.data))
        if store.labels != labels:
            raise ValueError(
                f"{options.model} knows the classes {', '.join(labels.names)}; {options.data} has "
                f"{', '.join(store.labels.names)}. Measure on a data set with the same classes."
            )
        return evaluate_features(
            predict,
            store,
            options.split,
            window_seconds=config.inference.window_seconds,
            hop_seconds=config.inference.hop_seconds,
            seed=config.training.seed,
        )


def _open(options: argparse.Namespace) -> tuple[Any, Recipe, Labels, Config]:
    """Probabilities from features, the recipe, the classes and the configuration of a model."""
    from avel_tf.config import load_config
    from avel_tf.quiet import load_tensorflow

    load_tensorflow()
    if (options.model / "model.keras").is_file():
        from avel_tf.training.run import Run, probabilities_of

        trained = Run(options.model)
        config = load_config(options.config or options.model / "config.yaml", options.overrides)
        return probabilities_of(trained.model()), trained.recipe, trained.labels, config
    from avel_tf.engines.settings import EngineSettings
    from avel_tf.inference.localizer import Localizer

    # From features only the localizer is left to run, and that is float32 by every engine.
    localizer = Localizer(options.model, engine=EngineSettings("tensorflow", "float32"))
    config = load_config(
        options.config or localizer.folder / "assets" / "config.yaml", options.overrides
    )
    return localizer.predict, localizer.recipe, localizer.labels, config
