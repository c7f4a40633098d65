"""A data set of mp4 files to a feature store."""

from __future__ import annotations

import dataclasses
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from avel_tf.annotations import Annotation, Dataset, Video, second_labels
from avel_tf.data.feature_store import SPLITS, FeatureStore, FeatureStoreWriter
from avel_tf.data.features import Features, embed_files
from avel_tf.data.finished_groups import GROUP_VIDEOS, FinishedGroups
from avel_tf.data.second_stream import Outcome, SecondStream
from avel_tf.data.settings import DataSettings
from avel_tf.data.spec_augment import SpecAugment
from avel_tf.embeddings.extractor import FeatureExtractor
from avel_tf.media.decode import DecodeSettings

logger = logging.getLogger(__name__)

# Every clip of AVE is ten seconds long, and its protocol counts ten segments per clip even where
# a file is shorter (Tian et al. 2018).
AVE_SECONDS = 10

Record = tuple[str, Features, tuple[Annotation, ...], np.ndarray]


def extract_features(
    dataset: Dataset,
    extractor: FeatureExtractor,
    folder: str | Path,
    *,
    data: DataSettings | None = None,
    media: DecodeSettings | None = None,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> FeatureStore:
    """Decode and embed every video of a data set, once.

    Videos that cannot be read are named in the manifest's `skipped` and left out. A run that was
    cut off goes on with the group of videos that it was in, and ends with the same bytes; not so
    with augmentation, whose random masks follow from all that were drawn before.

    Args:
        dataset: The data set.
        extractor: The backbones.
        folder: Where the feature store shall lie.
        data: Workers, batch, augmentation.
        media: Limits of the decoder.
        seed: Seed of the augmentation.
        progress: Called after each video with how many are done, and of how many.

    Returns:
        The feature store.
    """
    data = data or DataSettings()
    media = media or DecodeSettings()
    augment = SpecAugment(extractor.audio, seed=seed) if data.spec_augment_copies else None
    limit = AVE_SECONDS if dataset.layout == "ave" else None
    done = 0
    writer = FeatureStoreWriter(
        folder, recipe=extractor.recipe, labels=dataset.labels, layout=dataset.layout
    )

    def embedded(
        videos: tuple[Video, ...], copies: int
    ) -> Iterator[tuple[Features | None, Outcome]]:
        nonlocal done
        stream = SecondStream(
            [video.path for video in videos],
            frames_per_second=extractor.recipe.visual.frames_per_second,
            size=extractor.recipe.visual.size,
            workers=data.resolved_workers,
            limit=limit,
            settings=media,
        )
        for _, features, outcome in embed_files(
            stream, extractor, batch_seconds=data.batch_seconds, augment=augment, copies=copies
        ):
            done += 1
            if progress:
                progress(done, len(dataset.videos))
            yield features, outcome

    def in_groups(
        split: str, videos: tuple[Video, ...], groups: FinishedGroups
    ) -> Iterator[tuple[Features | None, Outcome]]:
        nonlocal done
        for first in range(0, len(videos), GROUP_VIDEOS):
            name = f"{split}-{first // GROUP_VIDEOS:05d}"
            group = groups.load(name)
            if group is None:
                group = list(embedded(videos[first : first + GROUP_VIDEOS], copies=0))
                groups.save(name, group)
            else:
                done += len(group)
                if progress:
                    progress(done, len(dataset.videos))
            yield from group

    def records(split: str, groups: FinishedGroups) -> Iterator[Record]:
        videos = dataset.split(split)
        if augment is None:
            outcomes = in_groups(split, videos, groups)
        else:
            outcomes = embedded(videos, data.spec_augment_copies if split == "train" else 0)
        for video, (features, outcome) in zip(videos, outcomes, strict=True):
            if features is None:
                reason = outcome.error or "it holds no second of video"
                logger.warning("Left out %s: %s", video.id, reason)
                writer.skip(video.id, split, reason)
                continue
            if outcome.problem:
                writer.remark(video.id, split, outcome.problem)
            if not outcome.has_sound:
                writer.remark(video.id, split, "no sound track: silence was assumed")
            if limit is not None:
                features = features.of_length(limit)
            targets = second_labels(video.annotations, dataset.labels, len(features.valid))
            yield video.id, features, video.annotations, targets
            for number, audio in enumerate(features.augmented_audio, start=1):
                changed = Features(features.visual, audio, features.valid)
                yield f"{video.id}#augmented{number}", changed, video.annotations, targets

    with FinishedGroups(Path(folder), _plan(dataset, extractor, data, media)) as groups:
        with writer:
            for split in SPLITS:
                videos = dataset.split(split)
                expected = len(videos) * (1 + (data.spec_augment_copies if split == "train" else 0))
                writer.write_split(split, records(split, groups), expected=expected)
        groups.discard()
    return FeatureStore(folder)


def _plan(
    dataset: Dataset, extractor: FeatureExtractor, data: DataSettings, media: DecodeSettings
) -> dict[str, Any]:
    """What decides the bytes of the features; annotations are read anew by every run."""
    return {
        "recipe": extractor.recipe.to_dict(),
        "layout": dataset.layout,
        # Which seconds share a batch, and so their last digits.
        "workers": data.resolved_workers,
        "batch_seconds": data.batch_seconds,
        "group_videos": GROUP_VIDEOS,
        "media": dataclasses.asdict(media),
        "videos": {
            split: [[str(video.path), _stamp(video.path)] for video in dataset.split(split)]
            for split in SPLITS
        },
    }


def _stamp(path: Path) -> list[int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return [found.st_size, found.st_mtime_ns]
