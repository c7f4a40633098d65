"""Reuse of visual embeddings: frames that show the same image as the one before."""

from __future__ import annotations

import threading
from typing import NamedTuple

import numpy as np

from avel_tf.embeddings.recipe import VisualRecipe
from avel_tf.embeddings.settings import NEAR_THRESHOLD, Reuse

# Rows and columns of the thumbnails that are compared. The mean over a cell evens out the noise of
# a camera, but not a thing that moves.
CELLS = 16
# Largest share of a batch's frames to embed at which others are reused. Above it, the gain would be
# lost to smaller calls, and two further networks would be loaded.
MOST_EMBEDDED = 0.9


class FrameCount(NamedTuple):
    """Number of frames, and of those that were embedded.

    The others have the embedding of a frame before them.
    """

    frames: int = 0
    embedded: int = 0

    @property
    def reused(self) -> float:
        """Share of the frames that were not embedded, from 0 to 1."""
        return 1 - self.embedded / self.frames if self.frames else 0.0

    def since(self, before: FrameCount) -> FrameCount:
        """Difference to an earlier count."""
        return FrameCount(self.frames - before.frames, self.embedded - before.embedded)


class FrameReuse:
    """Selects the frames of a batch that have to be embedded.

    The selection has no memory of earlier batches. Batches begin at the same times of a file in
    every run, so the selected frames, and with them the results, depend on the file alone.

    Args:
        threshold: Largest difference of thumbnails, in levels of 0 to 255, up to which a frame has
            the embedding of the last embedded one. None: only frames that equal it in every byte.

    Attributes:
        count: Frames of all batches so far.

    Example:
        >>> images, places = FrameReuse().select(frames)  # [n, F, H, W, 3]
        >>> visual = means(embed(images), places)  # [n, Dv]
    """

    def __init__(self, threshold: float | None = None) -> None:
        self.threshold = threshold
        self.count = FrameCount()
        self._lock = threading.Lock()

    def select(self, frames: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        """Select the frames to embed.

        Args:
            frames: uint8 [n, F, H, W, 3], consecutive segments of one file.

        Returns:
            The images to embed, uint8 [m, H, W, 3], and for each frame the index of its image,
            int [n, F]. None if every frame is embedded, because too few can be reused.
        """
        images = frames.reshape(-1, *frames.shape[2:])  # [n*F, H, W, 3]
        limit = self.threshold
        new = _differing(images) if limit is None else _changed(images, limit)  # [n*F]
        reusing = new.mean() <= MOST_EMBEDDED
        with self._lock:
            before = self.count
            embedded = before.embedded + int(new.sum() if reusing else len(new))
            self.count = FrameCount(before.frames + len(new), embedded)
        if not reusing:
            return None
        return images[new], (np.cumsum(new) - 1).reshape(frames.shape[:2])


def frame_reuse(mode: Reuse, recipe: VisualRecipe) -> FrameReuse | None:
    """Reuse of frames for features of a recipe; None if every frame is embedded.

    Args:
        mode: The setting `embeddings.visual.reuse`.
        recipe: Recipe of the features. If it has a threshold, the threshold is used.
    """
    if recipe.reuse_threshold is not None:
        return FrameReuse(recipe.reuse_threshold)
    if mode == "none":
        return None
    return FrameReuse(NEAR_THRESHOLD if mode == "near" else None)


def thumbnail(image: np.ndarray) -> np.ndarray:
    """Mean colours of the cells of an image uint8 [H, W, 3]; float32 [CELLS, CELLS, 3]."""
    import cv2  # only `near` needs it

    return cv2.resize(image.astype(np.float32), (CELLS, CELLS), interpolation=cv2.INTER_AREA)


def difference(thumbnail: np.ndarray, other: np.ndarray) -> float:
    """Difference of two thumbnails where it is largest, in levels of 0 to 255."""
    return float(np.abs(thumbnail - other).max())


def differing_frames(seconds: int, recipe: VisualRecipe) -> np.ndarray:
    """Frames uint8 [T, F, H, W, 3] that are all embedded, to warm up an engine."""
    count = seconds * recipe.frames_per_second
    levels = (np.arange(count) * 101 % 256).astype(np.uint8)
    shape = (count, recipe.size, recipe.size, 3)
    frames = np.broadcast_to(levels[:, None, None, None], shape)
    return frames.reshape(seconds, recipe.frames_per_second, *shape[1:])


def means(vectors: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Mean over the frames of each segment.

    Args:
        vectors: Embeddings of the selected images, float32 [m, Dv].
        places: Index of the image of each frame, int [n, F].

    Returns:
        float32 [n, Dv].
    """
    return vectors[places].mean(axis=1, dtype=np.float32)


def _differing(images: np.ndarray) -> np.ndarray:
    """True for images [m, H, W, 3] that differ from the one before; bool [m]."""
    pairs = zip(images[1:], images, strict=False)
    return np.array([True, *(not np.array_equal(image, before) for image, before in pairs)])


def _changed(images: np.ndarray, threshold: float) -> np.ndarray:
    """True for images [m, H, W, 3] that differ from the last one of which this is true; bool [m].

    Differences are not measured from image to image, because slow changes would add up.
    """
    new = np.zeros(len(images), bool)
    last: np.ndarray | None = None
    for place, image in enumerate(images):
        small = thumbnail(image)
        if last is None or difference(small, last) > threshold:
            new[place], last = True, small
    return new
