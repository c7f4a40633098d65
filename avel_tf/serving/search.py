"""Search by example: the seconds whose features resemble those of a given second."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from avel_tf.serving.analysis import Analysis


@dataclass(frozen=True)
class Match:
    """A stretch of seconds that resembles the example.

    Attributes:
        video: Identifier of the video.
        start: Start in seconds, of the most similar second.
        end: One second later.
        similarity: Mean of the cosines of both modalities, in [-1, 1].
    """

    video: str
    start: float
    end: float
    similarity: float


def search(
    videos: Iterable[tuple[str, Analysis]], example: Analysis, video: str, second: int, limit: int
) -> list[Match]:
    """Find the most similar seconds.

    Both modalities are compared by the cosine of their features, and count equally. Neighbouring
    seconds are one match, of their most similar second.

    Args:
        videos: Identifier and analysis of each video to search.
        example: Analysis of the video of the example.
        video: Its identifier; the example and its neighbours are no matches.
        second: The second of the example.
        limit: Most matches.

    Returns:
        Matches, the most similar first.
    """
    wanted = [_unit(example.array(name)[second][None])[0] for name in ("visual", "audio")]
    found: list[Match] = []
    for name, analysis in videos:
        modalities = [analysis.array(each) for each in ("visual", "audio")]
        if any(a.shape[1] != len(b) for a, b in zip(modalities, wanted, strict=True)):
            continue  # labelled by a model of other backbones
        cosines = [_unit(a) @ b for a, b in zip(modalities, wanted, strict=True)]  # [T] each
        similarity = (cosines[0] + cosines[1]) / 2
        similarity[~analysis.array("valid")] = -np.inf
        if name == video:
            similarity[max(0, second - 1) : second + 2] = -np.inf
        found += [
            Match(name, float(t), float(t + 1), round(float(similarity[t]), 4))
            for t in _peaks(similarity, limit)
        ]
    return sorted(found, key=lambda match: -match.similarity)[:limit]


def _unit(features: np.ndarray) -> np.ndarray:
    """Features [T, D] of unit length, after a signed root.

    The root keeps a few large values from deciding alone (Perronnin et al., ECCV 2010).
    """
    rooted = np.sign(features) * np.sqrt(np.abs(features))
    lengths = np.linalg.norm(rooted, axis=1, keepdims=True)
    return rooted / np.maximum(lengths, 1e-9)


def _peaks(similarity: np.ndarray, limit: int) -> list[int]:
    """Seconds of the highest values [T], without neighbours of a higher one."""
    taken: list[int] = []
    for second in np.argsort(-similarity, kind="stable"):
        if len(taken) == limit or not np.isfinite(similarity[second]):
            break
        if all(abs(second - other) > 1 for other in taken):
            taken.append(int(second))
    return taken
