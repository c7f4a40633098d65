"""What several commands share."""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from avel_tf.utils.lazy_imports import load_tensorflow

if TYPE_CHECKING:
    from avel_tf.config import Config
    from avel_tf.features.annotation_changes import AnnotationChanges
    from avel_tf.features.feature_store import FeatureStore


def add_config_arguments(parser: argparse.ArgumentParser) -> None:
    """`--config` and `--set`."""
    parser.add_argument("--config", type=Path, metavar="FILE.yaml", help="settings to start from")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        dest="overrides",
        metavar="a.b=c",
        help="change one setting, as in training.epochs=20; may be repeated",
    )


def add_engine_argument(parser: argparse.ArgumentParser) -> None:
    """`--engine`."""
    from avel_tf.engines.settings import ENGINES

    parser.add_argument(
        "--engine",
        choices=ENGINES,
        help="what runs the networks (default: auto, the fastest that is proven on this machine)",
    )


def config_of(options: argparse.Namespace) -> Config:
    """The configuration that `--config` and `--set` describe."""
    from avel_tf.config import load_config

    overrides = list(options.overrides)
    if getattr(options, "engine", None):
        overrides.append(f"engine.name={options.engine}")
    return load_config(options.config, overrides)


def user_errors() -> tuple[type[Exception], ...]:
    """Errors whose message is a sentence for the user.

    Every room's own errors are `ValueError`s; the others name a file or a module.
    """
    from avel_tf.embeddings.hub_module import ModuleUnavailableError
    from avel_tf.video.errors import MediaError

    return (ValueError, OSError, MediaError, ModuleUnavailableError)


def is_feature_store(path: Path) -> bool:
    """Whether a DATA argument is a folder of features rather than of videos."""
    return (path / "manifest.json").is_file() and any(path.glob("*.tfrecord"))


def features_of(
    path: Path,
    config: Config,
    folder: Path,
    *,
    reuse: bool = False,
    on_relabel: Callable[[AnnotationChanges], None] | None = None,
) -> FeatureStore:
    """The features of a DATA or FEATURES argument.

    Args:
        path: A data set or a feature store.
        config: How to make features of a data set.
        folder: Where features of a data set shall be kept.
        reuse: Take the features that lie in `folder` if they were made by the same recipe. Where
            labels have changed since, they are written anew and the features stay.
        on_relabel: Called with the changes before labels are written anew.

    Raises:
        ValueError: Annotations have changed since the features were made, in a way that needs
            other features.
    """
    load_tensorflow()
    from avel_tf.features.annotation_changes import annotation_changes, relabel
    from avel_tf.features.feature_store import FeatureStore

    if is_feature_store(path):
        require_current_annotations(path)
        return FeatureStore(path, deleaked=config.dataset.deleaked)
    from avel_tf.datasets import load_dataset
    from avel_tf.embeddings.extractor import load_extractor
    from avel_tf.features.extract import extract_features

    dataset = load_dataset(path, config.dataset)
    extractor = load_extractor(config.embeddings)
    if reuse and is_feature_store(folder):
        store = FeatureStore(folder)
        if store.recipe == extractor.recipe:
            changes = annotation_changes(store, dataset)
            if not changes:
                return store
            if not changes.labels_only:
                raise ValueError(
                    f"The annotations of {path} have changed since the features in {folder} were "
                    f"made: {changes}. Train anew with another --out."
                )
            if on_relabel:
                on_relabel(changes)
            return relabel(store, dataset)
    with Progress("embedding", "videos") as progress:
        return extract_features(
            dataset,
            extractor,
            folder,
            data=config.data,
            media=config.media,
            engine=config.engine,
            seed=config.training.seed,
            source={
                "path": os.path.abspath(path),
                "dataset": dataclasses.asdict(config.dataset),
            },
            progress=progress,
        )


def require_current_annotations(features: Path) -> None:
    """Refuses features whose data set has been annotated otherwise since.

    Features that do not say where they come from, and those whose data set is not there any more
    or on another machine, pass.

    Args:
        features: A feature store.

    Raises:
        ValueError: The annotations have changed; the message says what.
    """
    from avel_tf.datasets import DatasetError, DatasetSettings, load_dataset
    from avel_tf.features.annotation_changes import annotation_changes
    from avel_tf.features.feature_store import FeatureStore

    store = FeatureStore(features)
    source = store.manifest.get("source")
    if not source or not os.path.exists(source["path"]):
        return
    try:
        dataset = load_dataset(source["path"], DatasetSettings(**source["dataset"]))
    except (DatasetError, TypeError):
        return  # something else lies there now
    if changes := annotation_changes(store, dataset):
        raise ValueError(
            f"The annotations of {source['path']} have changed since the features {features} were "
            f"made: {changes}. Make them anew: avel extract {source['path']} --out {features}."
        )


class Progress:
    """A bar on a terminal, a line every ten seconds in a log; both on standard error."""

    def __init__(self, what: str, unit: str) -> None:
        self.what = what
        self.unit = unit
        self._bar: object | None = None
        self._last_line = time.monotonic()
        self._done = 0

    def __enter__(self) -> Callable[[int, int], None]:
        if sys.stderr.isatty():
            from tqdm import tqdm

            self._bar = tqdm(desc=self.what, unit=" " + self.unit, leave=False)
        return self._update

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()  # type: ignore[attr-defined]

    def _update(self, done: int, total: int) -> None:
        if self._bar is not None:
            self._bar.total = total  # type: ignore[attr-defined]
            self._bar.update(done - self._done)  # type: ignore[attr-defined]
        elif time.monotonic() - self._last_line > 10 or done == total:
            print(f"{self.what}: {done} of {total} {self.unit}", file=sys.stderr, flush=True)
            self._last_line = time.monotonic()
        self._done = done
