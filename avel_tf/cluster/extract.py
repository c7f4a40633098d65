"""Extraction of features on a cluster, group by group."""

from __future__ import annotations

import dataclasses
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from avel_tf.cluster.ray_session import ClusterError, map_blocks, ray_session, workers_of
from avel_tf.config import Config, Configuration, resolve_config
from avel_tf.datasets import load_dataset
from avel_tf.embeddings.extractor import load_extractor
from avel_tf.engines.engine import backbone_graphs
from avel_tf.engines.selection import EngineChoice, make_engine
from avel_tf.features.extract import TWICE, extract_features
from avel_tf.features.extraction_checkpoint import Group, decode_group, encode_group
from avel_tf.features.feature_store import FeatureStore, is_feature_store
from avel_tf.features.features import embed_files
from avel_tf.video.segment_loader import DecodeStatus, SegmentLoader

if TYPE_CHECKING:
    import pyarrow

logger = logging.getLogger(__name__)

# Deaths of workers that were alone with a video, after which it is skipped.
MOST_DEATHS = 2


@dataclass(frozen=True)
class EmbedWork:
    """All that a worker needs.

    Args:
        config: Settings, with the engine that the driver has chosen.
        choice: That engine.
        recipe: Hash of the recipe, which the backbones of each machine must have.
        limit: Seconds after which the rest of a video is skipped.
    """

    config: Config
    choice: EngineChoice
    recipe: str
    limit: int | None


class EmbedWorker:
    """Callable class for `Dataset.map_batches`, which embeds groups of videos.

    Args:
        work: The run.
    """

    def __init__(self, work: EmbedWork) -> None:
        self._work = work
        extractor = load_extractor(work.config.embeddings)
        if extractor.recipe.fingerprint != work.recipe:
            raise ValueError(
                "The backbones of this machine differ from those of the driver. Install the same "
                "avel-tf and the same modules on each machine."
            )
        self._visual = extractor.recipe.visual
        self._engine = make_engine(work.choice, backbone_graphs(extractor), work.config.engine)

    def __call__(self, block: pyarrow.Table) -> pyarrow.Table:
        """Embed the videos of a group.

        Args:
            block: Rows with the `name` of a group and the `path` of a video as bytes.

        Returns:
            One row with the `name` and the encoded `group`.
        """
        import pyarrow

        config = self._work.config
        paths = [os.fsdecode(path) for path in block["path"].to_pylist()]
        stream = SegmentLoader(
            [self._visual.decode_request(path, config.media) for path in paths],
            workers=config.data.resolved_workers,
            limit=self._work.limit,
        )
        group = [(features, status) for _, features, status in embed_files(stream, self._engine)]
        return pyarrow.table(
            {
                "name": [block["name"][0].as_py()],
                "group": pyarrow.array([encode_group(group)], pyarrow.large_binary()),
            }
        )


def extract_on_cluster(
    dataset: str | Path,
    folder: str | Path,
    config: Configuration = None,
    *,
    address: str,
    progress: Callable[[int, int], None] | None = None,
) -> FeatureStore:
    """Extract the features of a data set on a Ray cluster, as `avel_tf.extract` does.

    Each worker needs the videos and the backbones under the same paths. Finished groups of videos
    are kept beside `folder`, so the same call resumes a run that was killed. A group whose worker
    dies is repeated video by video; a video with which two workers die alone is skipped.

    Args:
        dataset: Path of the data set.
        folder: Folder of the feature store, which this process writes.
        config: Settings; the defaults when None.
        address: See `ray_session`.
        progress: Called with the number of videos done and in total.

    Returns:
        The feature store, the same as that of one machine.

    Raises:
        ClusterError: There is no such cluster, or its workers fail.
        ValueError: `dataset` is a feature store, or `data.spec_augment_copies` is set.
    """
    config = resolve_config(config)
    if is_feature_store(dataset):
        raise ValueError(f"{dataset} is a feature store already. Expected a data set.")
    videos = load_dataset(dataset, config.dataset)
    extractor = load_extractor(config.embeddings)

    def embed(
        groups: dict[str, list[Path]],
        limit: int | None,
        choice: EngineChoice,
        keep: Callable[[str, Group], None],
    ) -> None:
        work = EmbedWork(config, choice, extractor.recipe.fingerprint, limit)
        with ray_session(address) as ray:
            _embed_groups(ray, work, groups, keep)

    return extract_features(
        videos,
        extractor,
        folder,
        data=config.data,
        media=config.media,
        engine=config.engine,
        source={"path": os.path.abspath(dataset), "dataset": dataclasses.asdict(config.dataset)},
        progress=progress,
        embed_groups=embed,
    )


def _embed_groups(
    ray: Any,
    work: EmbedWork,
    groups: dict[str, list[Path]],
    keep: Callable[[str, Group], None],
) -> None:
    """Embed groups whole, then the videos of those that failed one by one."""
    found = set()
    for name, group in _embedded(ray, work, groups):
        keep(name, group)
        found.add(name)
    # The largest first, because the video of a group of one may crash each worker, though the
    # workers are sound.
    for name in sorted(groups.keys() - found, key=lambda name: (-len(groups[name]), name)):
        logger.warning("A worker failed; the videos of %s are tried one by one.", name)
        keep(name, _one_by_one(ray, work, groups[name], worked=bool(found)))
        found.add(name)


def _one_by_one(ray: Any, work: EmbedWork, paths: list[Path], *, worked: bool) -> Group:
    """Embed each video alone; one with which two workers die is skipped.

    Args:
        ray: The module, in a session.
        work: The run.
        paths: The videos.
        worked: True if workers have embedded others.

    Raises:
        ClusterError: Workers have embedded none, neither of these nor of others.
    """
    done: dict[str, Group] = {}
    for _ in range(MOST_DEATHS):
        left = {str(place): [path] for place, path in enumerate(paths) if str(place) not in done}
        if left:
            done |= dict(_embedded(ray, work, left))
    if not done and not worked:
        raise ClusterError(
            f"The workers could embed none of {len(paths)} videos, so the cause is not one of "
            "them. The log of Ray has it."
        )
    skipped: Group = [(None, DecodeStatus(0, error=TWICE))]
    return [done.get(str(place), skipped)[0] for place in range(len(paths))]


def _embedded(ray: Any, work: EmbedWork, groups: dict[str, list[Path]]) -> Any:
    """Names and contents of the groups that the workers have embedded."""
    import pyarrow

    workers = workers_of(ray, work.config.cluster)
    if work.config.data.workers is None:
        data = replace(work.config.data, workers=workers.cpus)
        work = replace(work, config=replace(work.config, data=data))
    tables = [
        pyarrow.table(
            {
                "name": [name] * len(paths),
                "path": pyarrow.array([os.fsencode(path) for path in paths], pyarrow.binary()),
            }
        )
        for name, paths in groups.items()
    ]
    for table in map_blocks(ray, EmbedWorker, work, tables, workers):
        for row in table.to_pylist():
            yield row["name"], decode_group(row["group"])
