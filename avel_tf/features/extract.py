"""Extraction of features from the videos of a data set."""

from __future__ import annotations

import dataclasses
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from avel_tf.datasets import Annotation, Dataset, Video, remove_leaks, segment_labels
from avel_tf.embeddings.extractor import FeatureExtractor
from avel_tf.engines.available import INT8, EngineChoice
from avel_tf.engines.engine import Graphs, backbone_graphs
from avel_tf.engines.reuse import FrameCount
from avel_tf.engines.sample import SampleFiles, sample_clips
from avel_tf.engines.selection import choose_engine, make_engine
from avel_tf.engines.settings import EngineSettings
from avel_tf.features.extraction_checkpoint import GROUP_VIDEOS, ExtractionCheckpoint, Group
from avel_tf.features.feature_store import (
    AUGMENTED,
    SPLITS,
    FeatureStore,
    FeatureStoreError,
    FeatureStoreWriter,
)
from avel_tf.features.features import Features, embed_files
from avel_tf.features.settings import DataSettings
from avel_tf.features.spec_augment import SpecAugment
from avel_tf.video.decode import DecodeSettings
from avel_tf.video.segment_loader import DecodeStatus, SegmentLoader

logger = logging.getLogger(__name__)

T = TypeVar("T")

# AVE's protocol counts ten segments per clip, even if a file is shorter (Tian et al. 2018).
AVE_SECONDS = 10

TWICE = (
    "the run died twice while decoding this file, the second time alone; it is skipped so that "
    "the others can be extracted"
)

# Groups of videos by name, limit of their length in seconds, engine, and the function that keeps a
# finished group.
EmbedGroups = Callable[
    [dict[str, list[Path]], int | None, EngineChoice, Callable[[str, Group], None]], None
]

# Videos under names that kept_ids the same from run to run.
Members = list[tuple[str, Video]]
Outcomes = Iterator[tuple[Features | None, DecodeStatus]]
Record = tuple[str, Features, tuple[Annotation, ...], np.ndarray]


def extract_features(
    dataset: Dataset,
    extractor: FeatureExtractor,
    folder: str | Path,
    *,
    data: DataSettings | None = None,
    media: DecodeSettings | None = None,
    engine: EngineSettings | None = None,
    seed: int = 0,
    source: dict[str, Any] | None = None,
    progress: Callable[[int, int], None] | None = None,
    embed_groups: EmbedGroups | None = None,
) -> FeatureStore:
    """Decode and embed every video of a data set.

    Videos that cannot be read are skipped and listed in the manifest. An interrupted run resumes
    with the unfinished group of videos and gives the same bytes; with augmentation it starts again,
    because each random mask depends on those before. Videos in progress when a run died are tried
    alone first, and skipped if they crash it again.

    Args:
        dataset: The data set.
        extractor: The backbones.
        folder: Folder of the feature store.
        data: Workers, augmentation and stored type.
        media: Limits and isolation of decoding.
        engine: Settings of the engine that runs the backbones.
        seed: Seed of the augmentation.
        source: Path and settings of the data set, for the manifest.
        progress: Called after each video with the number of videos done and in total.
        embed_groups: Function that embeds the unfinished groups of videos elsewhere, and keeps each
            of them as soon as it is finished. This process then embeds none.

    Returns:
        The feature store.
    """
    data = data or DataSettings()
    media = media or DecodeSettings()
    engine = engine or EngineSettings()
    graphs = backbone_graphs(extractor)
    paths = [each.path for each in dataset.videos]
    choice = choose_engine(
        graphs,
        engine,
        lambda: sample_clips(paths, extractor.recipe, media),
        # Several machines would calibrate networks of their own.
        None if embed_groups else SampleFiles(paths, extractor.recipe, media),
    )
    before = graphs.reuse.count if graphs.reuse else FrameCount()
    runner = make_engine(choice, graphs, engine)
    augment = SpecAugment(extractor.audio, seed=seed) if data.spec_augment_copies else None
    limit = AVE_SECONDS if dataset.layout == "ave" else None
    done = 0
    kept_ids = {video.id for video in remove_leaks(dataset.videos)}
    writer = FeatureStoreWriter(
        folder,
        recipe=replace(graphs.recipe, precision=_precision_of(choice)),
        labels=dataset.labels,
        layout=dataset.layout,
        weak_splits=dataset.weak_splits,
        dtype=data.feature_dtype,
        leaks=[video.id for video in dataset.videos if video.id not in kept_ids],
        source=source,
        engine=choice,
    )

    def count(videos: int = 1) -> None:
        nonlocal done
        done += videos
        if progress and done <= len(dataset.videos):
            progress(done, len(dataset.videos))

    def embedded(members: Members, copies: int, *, alone: bool = False) -> Outcomes:
        """Embed some videos, each recorded in the journal of attempts."""
        names = [name for name, _ in members]
        stream = SegmentLoader(
            [extractor.recipe.visual.decode_request(video.path, media) for _, video in members],
            # Masks are drawn in the order of the segments, which must not be random.
            workers=data.resolved_workers if augment is None else 1,
            limit=limit,
            on_open=lambda place: groups.attempts.begin(names[place], alone=alone),
        )
        try:
            for _, features, outcome in embed_files(
                stream,
                runner,
                augment=augment,
                copies=copies,
                ended=lambda place: groups.attempts.end(names[place]),
            ):
                yield features, outcome
        except Exception as error:
            # An error of a decoding thread may arrive as another exception.
            if groups.attempts.failure is not None:
                raise groups.attempts.failure from error
            raise

    def outcomes(split: str, members: Members, copies: int) -> Outcomes:
        """Embed the videos of a split, in their order."""
        attempts = groups.attempts
        names = list(groups_of(split, members))
        # Each random mask depends on those before, so augmented groups are not kept.
        kept = {name for name in names if augment is None and groups.load(name) is not None}
        pending = [
            member
            for place, member in enumerate(members)
            if names[place // GROUP_VIDEOS] not in kept and not attempts.died_alone[member[0]]
        ]
        alone = {}
        for member in pending:
            if attempts.died_together[member[0]]:
                logger.warning("The last run died; trying %s alone.", member[1].id)
                alone[member[0]] = next(embedded([member], copies, alone=True))
        others = embedded([member for member in pending if member[0] not in alone], copies)
        for place, name in enumerate(names):
            group = groups.load(name) if name in kept else None
            if name in kept:
                if group is None:
                    raise FeatureStoreError(
                        f"{groups.folder} changed while it was read. Run the same command again."
                    )
                count(len(group))
                yield from group
                continue
            group = []
            for video, _ in members[place * GROUP_VIDEOS : (place + 1) * GROUP_VIDEOS]:
                if attempts.died_alone[video]:
                    group.append((None, DecodeStatus(0, error=TWICE)))
                else:
                    group.append(alone.pop(video) if video in alone else next(others))
                count()
                yield group[-1]
            if augment is None:
                groups.save(name, group)

    def records(split: str) -> Iterator[Record]:
        videos = dataset.split(split)
        members = [(f"{split}/{place}", video) for place, video in enumerate(videos)]
        copies = data.spec_augment_copies if split == "train" else 0
        for video, (features, outcome) in zip(
            videos, outcomes(split, members, copies), strict=True
        ):
            if features is None:
                reason = outcome.error or "it has no segment"
                logger.warning("Skipped %s: %s", video.id, reason)
                writer.skip(video.id, split, reason)
                continue
            if outcome.problem:
                writer.remark(video.id, split, outcome.problem)
            if not outcome.has_sound:
                writer.remark(video.id, split, "no audio track: silence was assumed")
            if limit is not None:
                features = features.of_length(limit)
            targets = segment_labels(video.annotations, dataset.labels, len(features.valid))
            yield video.id, features, video.annotations, targets
            for number, audio in enumerate(features.augmented_audio, start=1):
                changed = Features(features.visual, audio, features.valid)
                yield f"{video.id}{AUGMENTED}{number}", changed, video.annotations, targets

    with ExtractionCheckpoint(
        Path(folder), _plan(dataset, graphs, choice, engine, media)
    ) as groups:
        if embed_groups:
            if augment:
                raise ValueError(
                    "data.spec_augment_copies needs one process, because each random mask depends "
                    "on those before. Set it to 0, or leave out --ray."
                )

            def keep(name: str, group: Group) -> None:
                groups.save(name, group)
                count(len(group))

            unfinished = {}
            for split in SPLITS:
                paths = [video.path for video in dataset.split(split)]
                for name, group in groups_of(split, paths).items():
                    if groups.load(name) is None:
                        unfinished[name] = group
                    else:
                        count(len(group))
            if unfinished:
                embed_groups(unfinished, limit, choice, keep)
        with writer:
            for split in SPLITS:
                videos = dataset.split(split)
                expected = len(videos) * (1 + (data.spec_augment_copies if split == "train" else 0))
                writer.write_split(split, records(split), expected=expected)
        groups.discard()
    if graphs.reuse:
        frames = graphs.reuse.count.since(before)
        logger.info(
            "%d frames, %.1f %% of them reused the embedding of the one before.",
            *(frames.frames, 100 * frames.reused),
        )
    return FeatureStore(folder)


def groups_of(split: str, members: Sequence[T]) -> dict[str, list[T]]:
    """Divide the videos of a split into groups, by their names."""
    return {
        f"{split}-{first // GROUP_VIDEOS:05d}": list(members[first : first + GROUP_VIDEOS])
        for first in range(0, len(members), GROUP_VIDEOS)
    }


def _plan(
    dataset: Dataset,
    graphs: Graphs,
    choice: EngineChoice,
    engine: EngineSettings,
    media: DecodeSettings,
) -> dict[str, Any]:
    """Everything that determines the features; annotations are read again by every run."""
    return {
        "recipe": graphs.recipe.to_dict(),
        "graphs": graphs.key,
        "layout": dataset.layout,
        "engine": choice.description,
        "batch_pictures": engine.batch_pictures,
        # Without it, features differ in their last digits.
        "reuse": graphs.reuse is not None,
        "group_videos": GROUP_VIDEOS,
        # The number of threads changes no bit.
        "media": dataclasses.asdict(dataclasses.replace(media, threads=0)),
        "videos": {
            split: [[str(video.path), _stamp(video.path)] for video in dataset.split(split)]
            for split in SPLITS
        },
    }


def _precision_of(choice: EngineChoice) -> str | None:
    """`Recipe.precision` of the features of an engine."""
    return f"{INT8} {choice.network}" if choice.precision == INT8 else None


def _stamp(path: Path) -> list[int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return [found.st_size, found.st_mtime_ns]
