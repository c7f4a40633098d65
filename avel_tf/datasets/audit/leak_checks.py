"""Files in several splits, or several times in one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from avel_tf.datasets import SPLITS, Dataset, Video, segment_labels
from avel_tf.datasets.audit.balance import video_seconds
from avel_tf.datasets.audit.file_facts import FileFacts
from avel_tf.datasets.audit.report import Finding

_REMEDY = "Metrics on them are too high, because the model was trained on them: "


def check_leaks(
    dataset: Dataset, facts: Mapping[Path, FileFacts], seconds: int | None
) -> Iterator[Finding]:
    """Checks for files in several splits, by name and by content, and for duplicates in one.

    Args:
        dataset: The data set.
        facts: Properties of its files.
        seconds: `AuditSettings.seconds`.

    Yields:
        One finding per kind of defect.
    """
    by_media = _group(dataset.videos, lambda video: video.media_id)
    leaking = [
        (media_id, _splits(videos)) for media_id, videos in by_media.items() if _leaks(videos)
    ]
    # A leak into test is worse than one into validation.
    leaking.sort(key=lambda item: not item[1].endswith("test"))
    if leaking:
        yield Finding(
            "leak",
            "error",
            f"Files in more than one split: {len(leaking):,} of {len(by_media):,}.",
            f"{_REMEDY}set dataset.deleaked to true to remove them.",
            tuple(leaking),
        )
    yield from _check_content(dataset, facts)

    contradicting = [
        (count, media_id, f"{count} s with different labels in {len(videos)} rows")
        for media_id, videos in by_media.items()
        if (count := _contradictions(dataset, videos, facts, seconds))
    ]
    contradicting.sort(key=lambda item: -item[0])
    if contradicting:
        yield Finding(
            "contradiction",
            "warning",
            "Files whose rows give the same segment different labels: "
            f"{len(contradicting):,} of {len(by_media):,}.",
            "Each row is an example of its own with one event, so no model can be right about all "
            "of them; this limits the accuracy that can be reached.",
            tuple((media_id, detail) for _, media_id, detail in contradicting),
        )


def _check_content(dataset: Dataset, facts: Mapping[Path, FileFacts]) -> Iterator[Finding]:
    """Compares contents, to find the same file under different names."""
    hashed = [video for video in dataset.videos if facts[video.path].sha256]
    leaking, doubled = [], []
    for videos in _group(hashed, lambda video: str(facts[video.path].sha256)).values():
        names = list(dict.fromkeys(video.media_id for video in videos))
        if len(names) < 2:
            continue
        if _leaks(videos):
            places = {video.media_id: video.split for video in videos}
            others = ", ".join(f"{name} ({places[name]})" for name in names[1:])
            leaking.append((f"{names[0]} ({places[names[0]]})", f"same content as {others}"))
        else:
            doubled.append((names[0], f"same content as {', '.join(names[1:])}"))
    if leaking:
        yield Finding(
            "leak-content",
            "error",
            f"Files with the same content in several splits, by other names: {len(leaking):,}.",
            f"{_REMEDY}keep one name of each, or give all of them one split.",
            tuple(leaking),
        )
    if doubled:
        yield Finding(
            "duplicate-file",
            "warning",
            f"Files with the same content under several names: {len(doubled):,}.",
            "They count more often than the others; keep one name of each.",
            tuple(doubled),
        )


def _contradictions(
    dataset: Dataset,
    videos: Sequence[Video],
    facts: Mapping[Path, FileFacts],
    seconds: int | None,
) -> int:
    """Counts the segments of one file that two of its rows label differently."""
    if len(videos) < 2:
        return 0
    lengths = [
        video_seconds(video, dataset.layout, facts.get(video.path), seconds) for video in videos
    ]
    targets = np.stack(
        [segment_labels(video.annotations, dataset.labels, max(lengths)) for video in videos]
    )  # [rows, T]
    return int((targets != targets[0]).any(axis=0).sum())


def _group(videos: Sequence[Video], key: Callable[[Video], str]) -> dict[str, list[Video]]:
    groups: dict[str, list[Video]] = {}
    for video in videos:
        groups.setdefault(key(video), []).append(video)
    return groups


def _leaks(videos: Sequence[Video]) -> bool:
    return len({video.split for video in videos}) > 1


def _splits(videos: Sequence[Video]) -> str:
    present = {video.split for video in videos}
    return ", ".join(split for split in SPLITS if split in present)
