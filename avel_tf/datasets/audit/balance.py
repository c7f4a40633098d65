"""Class balance of a split, in segments."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from avel_tf.datasets import SPLITS, Dataset, Video, segment_labels
from avel_tf.datasets.audit.file_facts import FileFacts

# The length of every clip of the AVE data set.
AVE_SECONDS = 10


@dataclass(frozen=True)
class Balance:
    """Class balance of one split.

    Args:
        split: `"train"`, `"validation"` or `"test"`.
        videos: Number of examples.
        files: Number of different files.
        seconds: Segments of each class, background last; int64 `[C+1]`.
        examples: Examples in which each class occurs; int64 `[C]`.
    """

    split: str
    videos: int
    files: int
    seconds: np.ndarray
    examples: np.ndarray

    @property
    def total(self) -> int:
        """Number of segments, including background."""
        return int(self.seconds.sum())

    @property
    def background(self) -> float:
        """Share of background, 0 to 1."""
        return float(self.seconds[-1]) / self.total if self.total else 0.0


def video_seconds(video: Video, layout: str, facts: FileFacts | None, seconds: int | None) -> int:
    """Number of segments of an example that are used in training.

    Args:
        video: The example.
        layout: The layout of its data set.
        facts: Properties of its file, if known.
        seconds: `AuditSettings.seconds`.

    Returns:
        `seconds`, or 10 for AVE, or the length of the file. If the file cannot be read, the end of
        its last event.
    """
    if seconds is not None:
        return seconds
    if layout == "ave":
        return AVE_SECONDS
    if facts and facts.duration:
        return max(1, round(facts.duration))
    return max((math.ceil(event.end) for event in video.annotations if event.end > 0), default=0)


def measure_balance(
    dataset: Dataset, facts: Mapping[Path, FileFacts], seconds: int | None
) -> tuple[Balance, ...]:
    """Counts the segments of each class in each split.

    Args:
        dataset: The data set.
        facts: Properties of its files.
        seconds: `AuditSettings.seconds`.

    Returns:
        Train, validation and test.
    """
    balances = []
    for split in SPLITS:
        videos = dataset.split(split)
        counts = np.zeros(len(dataset.labels) + 1, dtype=np.int64)  # [C+1]
        examples = np.zeros(len(dataset.labels), dtype=np.int64)  # [C]
        for video in videos:
            length = video_seconds(video, dataset.layout, facts.get(video.path), seconds)
            target = segment_labels(video.annotations, dataset.labels, length)  # [T]
            counts += np.bincount(target, minlength=len(counts))  # [C+1]
            present = {dataset.labels.index(event.label) for event in video.annotations}
            examples[sorted(present)] += 1
        files = len({video.media_id for video in videos})
        balances.append(Balance(split, len(videos), files, counts, examples))
    return tuple(balances)
