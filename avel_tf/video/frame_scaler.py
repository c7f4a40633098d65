"""Decoded pictures to small upright RGB ones."""

from __future__ import annotations

import av
import cv2
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter

from avel_tf.video.probe import display_matrix

# Averaging areas is free of aliasing when shrinking. The two flags leave out the short cuts of
# FFmpeg's assembler, which differ between processors; they cost nothing that can be measured.
_AREA = Interpolation.AREA | Interpolation.ACCURATE_RND | Interpolation.BITEXACT


class FrameScaler:
    """Turns frames upright, resizes them whole, without a crop, and converts them to RGB.

    Shrinking, which is the rule, averages areas and converts colours in one pass of FFmpeg's
    scaler: a quarter of the time of a conversion at full size that OpenCV shrinks afterwards.

    Args:
        size: (H, W) of the pictures to make.

    Example:
        >>> FrameScaler((224, 224))(frame).shape
        (224, 224, 3)
    """

    def __init__(self, size: tuple[int, int]) -> None:
        self._size = size
        self._matrix: list[list[int]] | None = None
        self._rotation = 0
        self._reformatter = VideoReformatter()

    def __call__(self, frame: av.VideoFrame) -> np.ndarray:
        """The whole frame, upright, at the size asked for: uint8 `[H, W, 3]`."""
        height, width = self._size
        (a, b), (c, d) = self._matrix_of(frame)
        turned = abs(a) + abs(d) < abs(b) + abs(c)  # x and y change places
        target = (height, width) if turned else (width, height)  # width first
        image = self._resize(frame, target)
        if turned:
            image = image.transpose(1, 0, 2)  # [H, W, 3]
        # After the swap, x is shown along c * y or a * x, and the like for y: where the factor
        # is negative, that axis runs backwards.
        if (c if turned else a) < 0:
            image = image[:, ::-1]
        if (b if turned else d) < 0:
            image = image[::-1]
        return np.ascontiguousarray(image)  # [H, W, 3]

    def _resize(self, frame: av.VideoFrame, target: tuple[int, int]) -> np.ndarray:
        """As it is stored, at the size of `target`, which is (width, height)."""
        shrinking = frame.width >= target[0] and frame.height >= target[1]
        # FFmpeg's scaler shrinks the two fields of an interlaced picture apart, and what it
        # enlarges by areas is a pattern of blocks. Both are rare.
        if not shrinking or frame.interlaced_frame:
            stored = self._reformatter.reformat(frame, format="rgb24", threads=1).to_ndarray()
            means = cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR
            return cv2.resize(stored, target, interpolation=means)
        # To separate planes, because on the way to packed RGB the scaler halves the resolution of
        # the colours; and by one thread, because starting others takes longer than the work.
        small = self._reformatter.reformat(
            frame, *target, format="gbrp", interpolation=_AREA, threads=1
        )
        green, blue, red = (
            np.asarray(memoryview(plane)).reshape(plane.height, plane.line_size)[:, : plane.width]
            for plane in small.planes
        )
        return cv2.merge([red, green, blue])

    def _matrix_of(self, frame: av.VideoFrame) -> list[list[int]]:
        """The display matrix, read anew only when the rotation has changed.

        PyAV ties a frame and its side data into a cycle, so asking every frame would keep whole
        pictures in memory until the garbage collector comes by.
        """
        if self._matrix is None or frame.rotation != self._rotation:
            matrix = display_matrix(frame)
            self._matrix = [[1, 0], [0, 1]] if matrix is None else matrix.tolist()
            self._rotation = frame.rotation
        return self._matrix
