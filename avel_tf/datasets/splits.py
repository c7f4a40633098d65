"""Seeded stratified splits, and removal of leaks between splits."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from avel_tf.datasets.dataset import Video
from avel_tf.datasets.settings import DatasetSettings

# Fewer files than this cannot fill three splits.
_SMALLEST_SPLITTABLE = 3


def assign_splits(
    labels_of: Mapping[str, Collection[str]], settings: DatasetSettings
) -> dict[str, str]:
    """Assigns files to splits, stratified by class and reproducible.

    Files are ordered by the hash of seed and name, so the order of the rows has no effect. Each
    class is divided in proportion to its size: a file with several classes counts for its rarest
    one, remainders go first to classes that have no file in the split yet, and train keeps at least
    one file of each class, unless a split would be empty otherwise.

    Args:
        labels_of: Classes of each file; empty for a file that is all background.
        settings: The seed and the fractions.

    Returns:
        `"train"`, `"validation"` or `"test"` for each file.

    Example:
        >>> names = {f"{n}.mp4": ["dog"] for n in range(20)}
        >>> splits = assign_splits(names, DatasetSettings())
        >>> sorted(splits.values()).count("test")
        3
    """
    strata = _strata(labels_of, settings.split_seed)
    splits = dict.fromkeys(labels_of, "train")
    for split, fraction in (
        ("test", settings.test_fraction),
        ("validation", settings.validation_fraction),
    ):
        for name, count in _shares(strata, fraction, len(labels_of)).items():
            for media_id in strata[name][:count]:
                splits[media_id] = split
            del strata[name][:count]
    return splits


def remove_leaks(videos: Sequence[Video]) -> tuple[Video, ...]:
    """Removes examples so that no file is in two splits.

    A file keeps its examples in test before validation, and in validation before train, so that the
    evaluated splits stay as published.

    Args:
        videos: The examples of all splits.

    Returns:
        The remaining examples, in the same order.
    """
    strength = {"train": 0, "validation": 1, "test": 2}
    kept: dict[str, int] = {}
    for video in videos:
        kept[video.media_id] = max(kept.get(video.media_id, 0), strength[video.split])
    return tuple(video for video in videos if strength[video.split] == kept[video.media_id])


def _strata(labels_of: Mapping[str, Collection[str]], seed: int) -> dict[str, list[str]]:
    """Groups the files by their rarest class, each group in the order of their hashes."""
    frequency = Counter(label for labels in labels_of.values() for label in set(labels))
    strata: dict[str, list[str]] = {}
    for media_id, labels in labels_of.items():
        rarest = min(labels, key=lambda label: (frequency[label], label), default="")
        strata.setdefault(rarest, []).append(media_id)
    for members in strata.values():
        members.sort(key=lambda media_id: _draw(seed, media_id))
    return {name: strata[name] for name in sorted(strata, key=lambda name: _draw(seed, name))}


def _shares(strata: Mapping[str, Sequence[str]], fraction: float, files: int) -> Counter[str]:
    """Number of files of each group in a split, by the method of largest remainders."""
    sizes = {name: len(members) for name, members in strata.items()}
    left = sum(sizes.values())
    # The fraction refers to the whole data set; the files of test have been removed already.
    scale = files / left if left else 0.0
    ideal = {name: size * scale * fraction for name, size in sizes.items()}
    shares = Counter({name: max(0, min(int(ideal[name]), sizes[name] - 1)) for name in sizes})
    wanted = round(files * fraction)
    if fraction > 0 and files >= _SMALLEST_SPLITTABLE:
        wanted = max(1, wanted)
    by_need = sorted(sizes, key=lambda name: (shares[name] > 0, shares[name] - ideal[name]))
    while shares.total() < wanted:
        open_groups = [name for name in by_need if shares[name] < sizes[name] - 1]
        if not open_groups:
            break
        for name in open_groups[: wanted - shares.total()]:
            shares[name] += 1
    if wanted and not shares.total() and left > 1:
        shares[next(name for name in by_need if sizes[name])] += 1
    return shares


def _draw(seed: int, name: str) -> bytes:
    return hashlib.sha256(f"{seed}\0{name}".encode("utf-8", "surrogatepass")).digest()
