"""Evaluation jobs: metrics of a model on a split, comparison of two, robustness of several."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avel_tf.config import Config, Configuration, resolve_config
from avel_tf.datasets import Dataset, Video, load_dataset
from avel_tf.embeddings.extractor import load_extractor
from avel_tf.embeddings.recipe import Recipe
from avel_tf.engines.engine import backbone_graphs
from avel_tf.engines.sample import SampleFiles, sample_clips
from avel_tf.engines.selection import choose_engine, make_engine
from avel_tf.engines.windows import Predict
from avel_tf.evaluation.clip_outcome import ClipOutcome
from avel_tf.evaluation.condition import conditions
from avel_tf.evaluation.on_features import predict_split
from avel_tf.evaluation.paired import paired_bootstrap
from avel_tf.evaluation.predictions_file import write_predictions
from avel_tf.evaluation.robustness import measure_robustness
from avel_tf.evaluation.split_predictions import SplitPredictions
from avel_tf.events.labels import Labels
from avel_tf.events.postprocessing import Postprocessing
from avel_tf.features.extract import AVE_SECONDS
from avel_tf.features.feature_store import FeatureStore, is_feature_store
from avel_tf.features.overlaps import count_overlaps
from avel_tf.training.features import Data, open_features
from avel_tf.training.job import write_metrics
from avel_tf.training.run import Run, probabilities_of


@dataclass(frozen=True)
class TrainedModel:
    """The parts of a run or of an exported model that an evaluation needs.

    Attributes:
        path: Folder of the run or of the exported model.
        predict: visual [B, T, Dv], audio [B, T, Da], valid [B, T] to probabilities [B, T, C+1].
        recipe: How its features are made.
        labels: Its classes.
        postprocessing: Temperature, thresholds and rules for events.
        config: Its configuration.
        select: Function that restricts a zero-shot model to some of its classes, else None.
    """

    path: Path
    predict: Predict
    recipe: Recipe
    labels: Labels
    postprocessing: Postprocessing
    config: Config
    select: Callable[[Labels], TrainedModel] | None = None

    @classmethod
    def of_run(cls, run: Run, config: Configuration = None) -> TrainedModel:
        """Load the model of a training run.

        Args:
            run: The run.
            config: Settings instead of those of the run, or single ones on top of them.
        """
        return cls(
            run.folder,
            probabilities_of(run.model(), run.postprocessing.temperature),
            run.recipe,
            run.labels,
            run.postprocessing,
            resolve_config(config, run.folder / "config.yaml"),
        )


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Result of an evaluation.

    Attributes:
        metrics: Content of `metrics.json`.
        outcomes: Content of `predictions.jsonl`, one entry per video.
        labels: The classes.
        note: A sentence about segments with more labels than the model can give, or None.

    Example:
        >>> evaluation = avel_tf.evaluate("RUN", "DATA", split="validation")
        >>> evaluation.metrics["segment_accuracy"]
        0.94
        >>> evaluation.write("EVALUATION")
    """

    metrics: dict[str, Any]
    outcomes: list[ClipOutcome]
    labels: Labels
    note: str | None = None

    def __repr__(self) -> str:
        keys = ("videos", "segment_accuracy", "segment_f1", "event_f1")
        found = [f"{key}={self.metrics[key]!r}" for key in keys if key in self.metrics]
        return f"<Evaluation: {', '.join(found)}>"

    def write(self, folder: str | Path) -> None:
        """Write `metrics.json` and `predictions.jsonl` to a folder."""
        write_metrics(folder, self.metrics)
        write_predictions(folder, self.outcomes, self.labels)


def evaluate_model(
    model: TrainedModel,
    data: Data,
    split: str = "test",
    *,
    against: TrainedModel | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Evaluate a model on a split, and compare it with another one on the same videos.

    Args:
        model: The model.
        data: A data set, its features, or the path of either. Features of a data set are extracted
            to a temporary folder.
        split: `train`, `validation` or `test`.
        against: Another model with the same classes. The metrics then have `against`: the paired
            bootstrap of both.
        progress: Called after each extracted video with the number done and the total.

    Returns:
        Metrics and outcomes by video.

    Raises:
        ValueError: The features are of another recipe, the classes differ, or the split is empty.
    """
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        paired = against is not None
        store = _features(model, data, folder / "features", progress, paired=paired)
        model = _of_classes(model, store.labels, store.folder)
        # If either model gives several labels, both are compared by all labels.
        all_labels = any(each and each.postprocessing.multi_label for each in (model, against))
        predictions = _predict(model, store, split, all_labels)
        overlaps = None if all_labels else count_overlaps(store, split)
        note = overlaps.message("of this model") if overlaps else None
        seed = model.config.training.seed
        metrics = predictions.metrics(model.postprocessing, seed=seed)
        outcomes = predictions.outcomes(model.postprocessing)
        if against:
            if against.recipe.fingerprint != model.recipe.fingerprint:
                store = _features(against, data, folder / "others", progress, paired=paired)
            against = _of_classes(against, store.labels, store.folder)
            others = _predict(against, store, split, all_labels).outcomes(against.postprocessing)
            compared = paired_bootstrap(outcomes, others, model.labels, seed=seed)
            metrics["against"] = {"model": str(against.path), **compared}
    return Evaluation(metrics, outcomes, model.labels, note)


def evaluate_robustness(
    models: Sequence[TrainedModel],
    data: str | Path | Dataset,
    corruptions: str = "all",
    split: str = "test",
    *,
    clips: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Evaluate models on videos whose frames or audio are corrupted.

    Args:
        models: Single-label models with the same recipe and classes. Settings are those of the
            first.
        data: A data set, or its path; features cannot be corrupted.
        corruptions: "all", or names separated by commas (docs/design/robustness.md).
        split: `train`, `validation` or `test`.
        clips: Number of videos, drawn with `training.seed`; all of the split when None.
        progress: Called after each video with the number done and the total.

    Returns:
        Content of `robustness.json`.

    Raises:
        ValueError: The data are features, the split is empty, or the models do not match.
    """
    if isinstance(data, str | Path) and is_feature_store(data):
        raise ValueError(
            f"{data} holds features, but frames and audio are corrupted. Give the data set of the "
            "features."
        )
    wanted = conditions(corruptions)
    first, config = models[0], models[0].config
    dataset = data if isinstance(data, Dataset) else load_dataset(data, config.dataset)
    videos = _draw(dataset, split, clips, config.training.seed)
    extractor = load_extractor(config.embeddings)
    for model in models:
        model.recipe.in_float().require_same(
            extractor.recipe, ours=str(model.path), theirs=f"the backbones of {first.path}"
        )
        if model.postprocessing.multi_label:
            raise ValueError(
                f"{model.path} gives a segment any number of labels (model.head=multi_label), but "
                "--corrupt measures segment accuracy, which needs one label. Choose a single-label "
                "model, or leave out --corrupt."
            )
    models = [_of_classes(model, dataset.labels, dataset.root) for model in models]
    named = dict(zip(_names(models), models, strict=True))
    graphs = backbone_graphs(extractor)
    sources = [each.path for each in videos]
    choice = choose_engine(
        graphs,
        config.engine,
        lambda: sample_clips(sources, extractor.recipe, config.media),
        SampleFiles(sources, extractor.recipe, config.media),
    )
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
    paths = {name: str(model.path) for name, model in named.items()}
    return {"split": split, "models": paths, **found}


def _features(
    model: TrainedModel,
    data: Data,
    scratch: Path,
    progress: Callable[[int, int], None] | None,
    *,
    paired: bool,
) -> FeatureStore:
    """Open or extract the features of `data` and check them against the model."""
    store = open_features(data, model.config, scratch, progress=progress)
    name = store.folder if store.folder != scratch else data
    name = name.root if isinstance(name, Dataset) else name
    try:
        model.recipe.require_same(store.recipe, ours=str(model.path), theirs=str(name))
    except ValueError as error:
        if paired and store.folder != scratch:
            raise ValueError(
                f"{error} To compare models with different recipes, give the data set instead of "
                "the features; the features of each model are then extracted."
            ) from error
        raise
    return store


def _of_classes(model: TrainedModel, labels: Labels, data: object) -> TrainedModel:
    """The model with the classes of the data, which it must have."""
    if model.select is not None:
        return model.select(labels)
    if labels != model.labels:
        raise ValueError(
            f"The classes differ: {model.path} has {', '.join(model.labels.names)}; {data} has "
            f"{', '.join(labels.names)}. Evaluate on a data set with the classes of the model."
        )
    return model


def _predict(
    model: TrainedModel, store: FeatureStore, split: str, all_labels: bool
) -> SplitPredictions:
    return predict_split(
        model.predict,
        store,
        split,
        window_seconds=model.config.inference.window_seconds,
        hop_seconds=model.config.inference.hop_seconds,
        multi_label=model.postprocessing.multi_label,
        all_labels=all_labels,
    )


def _draw(dataset: Dataset, split: str, clips: int | None, seed: int) -> list[Video]:
    videos = list(dataset.split(split))
    if not videos:
        raise ValueError(
            f"The split {split!r} of {dataset.root} has no videos. Choose another with --split."
        )
    if clips is None:
        return videos
    if clips < 1:
        raise ValueError(f"clips (--clips) must be at least 1. Received: {clips}")
    drawn = random.Random(seed).sample(range(len(videos)), min(clips, len(videos)))
    return [videos[place] for place in sorted(drawn)]


def _names(models: Sequence[TrainedModel]) -> list[str]:
    """Names of models in the report: those of their networks if unique, else their paths."""
    networks: list[str] = [model.config.model.name for model in models]
    if len(set(networks)) == len(models):
        return networks
    return [str(model.path) for model in models]
