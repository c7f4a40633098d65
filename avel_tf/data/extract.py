"""A data set of mp4 files to a feature store."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from avel_tf.annotations import Annotation, Dataset, Video, second_labels
from avel_tf.data.feature_store import SPLITS, FeatureStore, FeatureStoreWriter
from avel_tf.data.features import Features, embed_files
from avel_tf.data.second_stream import SecondStream
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

    Videos that cannot be read are named in the manifest's `skipped` and left out.

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
    augment = SpecAugment(extractor.audio, seed=seed) if data.spec_augment_copies else None
    limit = AVE_SECONDS if dataset.layout == "ave" else None
    done = 0
    writer = FeatureStoreWriter(
        folder, recipe=extractor.recipe, labels=dataset.labels, layout=dataset.layout
    )

    def records(split: str, videos: tuple[Video, ...]) -> Iterator[Record]:
        nonlocal done
        stream = SecondStream(
            [video.path for video in videos],
            frames_per_second=extractor.recipe.visual.frames_per_second,
            size=extractor.recipe.visual.size,
            workers=data.resolved_workers,
            limit=limit,
            settings=media,
        )
        copies = data.spec_augment_copies if split == "train" else 0
        for index, features, outcome in embed_files(
            stream, extractor, batch_seconds=data.batch_seconds, augment=augment, copies=copies
        ):
            video = videos[index]
            done += 1
            if progress:
                progress(done, len(dataset.videos))
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

    with writer:
        for split in SPLITS:
            videos = dataset.split(split)
            expected = len(videos) * (1 + (data.spec_augment_copies if split == "train" else 0))
            writer.write_split(split, records(split, videos), expected=expected)
    return FeatureStore(folder)
