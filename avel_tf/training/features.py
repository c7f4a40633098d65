"""Features of a data set: opened, brought up to date with its annotations, or extracted."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path

from avel_tf.config import Config, Configuration, resolve_config
from avel_tf.datasets import Dataset, DatasetError, DatasetSettings, load_dataset
from avel_tf.embeddings.extractor import load_extractor
from avel_tf.engines.available import INT8
from avel_tf.engines.settings import AUTO, EngineSettings
from avel_tf.features.annotation_changes import AnnotationChanges, annotation_changes, relabel
from avel_tf.features.extract import extract_features
from avel_tf.features.feature_store import FeatureStore, is_feature_store

# A data set, its features, or the path of either.
Data = str | Path | Dataset | FeatureStore


def extract(
    dataset: str | Path | Dataset,
    folder: str | Path,
    config: Configuration = None,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> FeatureStore:
    """Decode and embed every video of a data set, once.

    An interrupted extraction resumes at the group of videos it was working on. A video that cannot
    be read is left out and listed in `FeatureStore.skipped`.

    Args:
        dataset: A data set or its path.
        folder: Folder of the feature store.
        config: Settings of the data set, the decoder, the embeddings and the engine: a YAML file,
            a `Config`, or a mapping such as `{"embeddings.visual.module": "compact"}`; the
            defaults when None.
        progress: Called after each video with the number done and the total.

    Returns:
        The feature store: visual float32 [T, Dv], audio float32 [T, Da] and labels of each video.

    Raises:
        ConfigError: A setting is unknown or out of range.
        DatasetError: The annotations cannot be read.
        ModuleUnavailableError: A backbone cannot be loaded.
        ValueError: `dataset` is a feature store, or no video could be read.

    Example:
        >>> features = avel_tf.extract("DATA", "FEATURES", {"embeddings.visual.module": "compact"})
        >>> features.count("train")
        110
    """
    if isinstance(dataset, FeatureStore) or (
        not isinstance(dataset, Dataset) and is_feature_store(dataset)
    ):
        name = dataset.folder if isinstance(dataset, FeatureStore) else dataset
        raise ValueError(f"{name} is a feature store already. Expected a data set of video files.")
    store = open_features(dataset, resolve_config(config), folder, progress=progress)
    if not any(store.count(split) for split in store.manifest["splits"]):
        name = dataset.root if isinstance(dataset, Dataset) else dataset
        raise ValueError(
            f"No video of {name} could be read. The first reason: "
            f"{store.skipped[0]['reason'] if store.skipped else 'the data set is empty'}"
        )
    return store


def open_features(
    data: Data,
    config: Config,
    folder: str | Path,
    *,
    reuse: bool = False,
    on_relabel: Callable[[AnnotationChanges], None] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> FeatureStore:
    """Open the features of a data set, or extract them.

    Args:
        data: A data set, a feature store, or the path of either.
        config: Settings of the data set, the decoder, the embeddings and the engine.
        folder: Folder that receives the features of a data set.
        reuse: Use the features in `folder` if they were made with the same recipe, and in int8 only
            if the settings allow it. If only labels have changed since, the labels are rewritten
            and the features kept.
        on_relabel: Called with the changes before labels are rewritten.
        progress: Called after each extracted video with the number done and the total.

    Returns:
        The feature store.

    Raises:
        ValueError: The annotations have changed since the features were made, and the change
            requires new features.
    """
    folder = Path(folder)
    if isinstance(data, FeatureStore):
        return data
    if not isinstance(data, Dataset | str | os.PathLike):
        raise TypeError(
            "The data must be a Dataset, a FeatureStore, or the path of either. Received: "
            f"{data!r:.200}."
        )
    source = None
    if not isinstance(data, Dataset):
        if is_feature_store(data):
            require_current_annotations(data)
            return FeatureStore(data, deleaked=config.dataset.deleaked)
        source = {"path": os.path.abspath(data), "dataset": dataclasses.asdict(config.dataset)}
        data = load_dataset(data, config.dataset)
    extractor = load_extractor(config.embeddings)
    if reuse and is_feature_store(folder):
        store = FeatureStore(folder)
        if store.recipe.in_float() == extractor.recipe and _precision_fits(store, config.engine):
            changes = annotation_changes(store, data)
            if not changes:
                return store
            if not changes.labels_only:
                raise ValueError(
                    f"The annotations of {data.root} have changed since the features in {folder} "
                    f"were made: {changes}. Start a new run in another folder (--out)."
                )
            if on_relabel:
                on_relabel(changes)
            return relabel(store, data)
    return extract_features(
        data,
        extractor,
        folder,
        data=config.data,
        media=config.media,
        engine=config.engine,
        seed=config.training.seed,
        source=source,
        progress=progress,
    )


def _precision_fits(store: FeatureStore, engine: EngineSettings) -> bool:
    """True unless the settings demand int8 and the features are not, or the other way round."""
    return engine.precision == AUTO or (engine.precision == INT8) == (store.precision == INT8)


def require_current_annotations(features: str | Path) -> None:
    """Refuse features whose data set has different annotations now.

    Features without a recorded source pass, and so do features whose data set no longer exists on
    this machine.

    Args:
        features: Path of a feature store.

    Raises:
        ValueError: The annotations have changed. The message lists the changes.
    """
    store = FeatureStore(features)
    source = store.manifest.get("source")
    if not source or not os.path.exists(source["path"]):
        return
    try:
        dataset = load_dataset(source["path"], DatasetSettings(**source["dataset"]))
    except (DatasetError, TypeError):
        return  # The path holds something else now.
    if changes := annotation_changes(store, dataset):
        raise ValueError(
            f"The annotations of {source['path']} have changed since the features {features} were "
            f"made: {changes}. Extract them again: avel extract {source['path']} --out {features}."
        )
