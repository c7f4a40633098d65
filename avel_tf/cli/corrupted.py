"""avel evaluate --corrupt: measure models on spoilt clips."""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Sequence
from typing import TYPE_CHECKING

from avel_tf.cli.paths import input_folder

if TYPE_CHECKING:
    from avel_tf.cli.evaluate import OpenedModel
    from avel_tf.datasets import Dataset, Video


def add_corrupt_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `avel evaluate` that are about spoilt clips."""
    parser.add_argument(
        "--corrupt",
        metavar="all|NAME,...",
        help="corrupt audio and video, and measure accuracy against severity "
        "(docs/design/robustness.md); needs the videos themselves",
    )
    parser.add_argument(
        "--beside",
        type=input_folder,
        nargs="+",
        default=[],
        metavar="RUN|SAVED_MODEL",
        help="with --corrupt: further models to measure on the same spoilt clips",
    )
    parser.add_argument(
        "--clips",
        type=int,
        metavar="N",
        help="with --corrupt: measure on so many clips of the split, drawn by training.seed",
    )


def run_corrupted(models: Sequence[OpenedModel], options: argparse.Namespace) -> int:
    """Print accuracy by corruption, severity and model; write it where `--out` says.

    Args:
        models: The model and those beside it.
        options: Of `avel evaluate`.

    Returns:
        The exit status: 2 when clips had to be left out.
    """
    from avel_tf.cli.common import Progress, is_feature_store
    from avel_tf.datasets import load_dataset
    from avel_tf.embeddings.extractor import load_extractor
    from avel_tf.engines.graphs import backbone_graphs
    from avel_tf.engines.sample import sample_clips
    from avel_tf.engines.selection import choose_engine, make_engine
    from avel_tf.evaluation.condition import conditions
    from avel_tf.evaluation.robustness import measure_robustness
    from avel_tf.features.extract import AVE_SECONDS
    from avel_tf.reports.robustness_report import draw_robustness, robustness_table
    from avel_tf.reports.style import standing_alone
    from avel_tf.utils.durable_files import atomic_text

    if is_feature_store(options.data):
        raise ValueError(
            f"{options.data} holds features, and what is spoilt is picture and sound. "
            "Give the data set that they were made of."
        )
    wanted = conditions(options.corrupt)
    first, config = models[0], models[0].config
    dataset = load_dataset(options.data, config.dataset)
    videos = _videos(dataset, options, config.training.seed)
    extractor = load_extractor(config.embeddings)
    for model in models:
        model.recipe.require_same(
            extractor.recipe, ours=str(model.path), theirs=f"the backbones of {first.path}"
        )
        if model.postprocessing.multi_label:
            raise ValueError(
                f"{model.path} gives a second any number of labels (model.head=multi_label), and "
                "--corrupt counts the seconds whose one label is right. Measure a model of one "
                "label, or without --corrupt."
            )
        if model.labels != dataset.labels:
            raise ValueError(
                f"{model.path} knows the classes {', '.join(model.labels.names)}; {options.data} "
                f"has {', '.join(dataset.labels.names)}. Measure on a data set with the same."
            )
    named = dict(zip(_names(models), models, strict=True))
    graphs = backbone_graphs(extractor)
    choice = choose_engine(
        graphs,
        config.engine,
        lambda: sample_clips((each.path for each in videos), extractor.recipe, config.media),
    )
    with Progress("spoiling", "clips") as progress:
        found = measure_robustness(
            {name: model.predict for name, model in named.items()},
            videos,
            dataset.labels,
            wanted,
            recipe=extractor.recipe,
            engine=make_engine(choice, graphs, config.engine),
            seconds=AVE_SECONDS if dataset.layout == "ave" else None,
            media=config.media,
            window_seconds=config.inference.window_seconds,
            hop_seconds=config.inference.hop_seconds,
            seed=config.training.seed,
            progress=progress,
        )
    print(robustness_table(found))
    if options.out:
        paths = {name: str(model.path) for name, model in named.items()}
        record = {"split": options.split, "models": paths, **found}
        with atomic_text(options.out / "robustness.json") as file:
            file.write(json.dumps(record, indent=2) + "\n")
        with atomic_text(options.out / "robustness.svg") as file:
            file.write(standing_alone(draw_robustness(found)))
        print(f"The figures and their drawing lie in {options.out}")
    return 2 if found["skipped"] else 0


def _videos(dataset: Dataset, options: argparse.Namespace, seed: int) -> list[Video]:
    videos = list(dataset.split(options.split))
    if not videos:
        raise ValueError(
            f"The split {options.split!r} of {options.data} holds no video, so there is nothing to "
            "measure. Choose another with --split."
        )
    if options.clips is None:
        return videos
    if options.clips < 1:
        raise ValueError(f"--clips must be at least 1. Received: {options.clips}")
    drawn = random.Random(seed).sample(range(len(videos)), min(options.clips, len(videos)))
    return [videos[place] for place in sorted(drawn)]


def _names(models: Sequence[OpenedModel]) -> list[str]:
    """What models are called: by their network where that tells them apart, else by their path."""
    networks = [model.config.model.name for model in models]
    if len(set(networks)) == len(models):
        return networks
    return [str(model.path) for model in models]
