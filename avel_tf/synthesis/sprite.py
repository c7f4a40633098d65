"""Transparent image with drawing operations in coordinates from -1 to 1."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import cv2
import numpy as np
from numpy.typing import NDArray

Colour = tuple[float, float, float]  # red, green, blue, 0 to 255
Point = tuple[float, float]

_FRACTION_BITS = 4  # OpenCV takes coordinates in sixteenths of a pixel
REACH = 1.15  # extent of the image in both axes, with room for tilt and outline
_OUTLINE = 0.045
_SUPERSAMPLING = 2
_CIRCLE = np.linspace(0, 2 * np.pi, 33)[:-1]


class Sprite:
    """Anti-aliased shapes on a transparent square; x and y run from -1 to 1, y downwards.

    Args:
        side: width and height of the image in pixels.
        tilt: rotation in radians.
        mirrored: whether left and right are swapped.

    Example:
        >>> sprite = Sprite(64)
        >>> sprite.ellipse((0, 0), (0.5, 0.5), (200, 60, 60))
        >>> colour, opacity = sprite.picture()
    """

    def __init__(self, side: int, *, tilt: float = 0.0, mirrored: bool = False) -> None:
        self._side = side
        pixels = side * _SUPERSAMPLING
        self._pixels = np.zeros((pixels, pixels, 4), np.uint8)  # [H, W, 4], colour x opacity
        self._scale = pixels / (2 * REACH)
        cos, sin = np.cos(tilt), np.sin(tilt)
        self._matrix = np.array([[cos, -sin], [sin, cos]]) @ np.diag([-1.0 if mirrored else 1.0, 1])
        self._shift = np.zeros(2)

    @contextmanager
    def turned(self, angle: float, pivot: Point = (0.0, 0.0)) -> Iterator[None]:
        """Rotates drawings within the block by `angle` radians about `pivot`."""
        matrix, shift = self._matrix, self._shift
        cos, sin = np.cos(angle), np.sin(angle)
        turn, centre = np.array([[cos, -sin], [sin, cos]]), np.asarray(pivot)
        self._matrix, self._shift = matrix @ turn, matrix @ (centre - turn @ centre) + shift
        try:
            yield
        finally:
            self._matrix, self._shift = matrix, shift

    def polygon(
        self,
        points: Sequence[Point] | NDArray[np.float64],
        colour: Colour,
        *,
        outline: bool = True,
        opacity: float = 1.0,
    ) -> None:
        """Fill a polygon, with an outline in a darker shade of its colour."""
        corners = self._to_pixels(points)
        canvas = self._pixels if opacity >= 1 else self._pixels.copy()
        cv2.fillPoly(canvas, [corners], (*colour, 255), cv2.LINE_AA, _FRACTION_BITS)
        if outline:
            shade = tuple(0.45 * channel for channel in colour)
            cv2.polylines(
                canvas, [corners], True, (*shade, 255), self._width(_OUTLINE), cv2.LINE_AA,
                _FRACTION_BITS,
            )  # fmt: skip
        if canvas is not self._pixels:
            cv2.addWeighted(canvas, opacity, self._pixels, 1 - opacity, 0, self._pixels)

    def ellipse(
        self,
        centre: Point,
        radii: Point,
        colour: Colour,
        *,
        angle: float = 0.0,
        outline: bool = True,
        opacity: float = 1.0,
    ) -> None:
        """Fill an ellipse, rotated by `angle` radians about its own centre."""
        x, y = radii[0] * np.cos(_CIRCLE), radii[1] * np.sin(_CIRCLE)
        cos, sin = np.cos(angle), np.sin(angle)
        points = np.stack([centre[0] + x * cos - y * sin, centre[1] + x * sin + y * cos], axis=1)
        self.polygon(points, colour, outline=outline, opacity=opacity)

    def box(
        self, corner: Point, size: Point, colour: Colour, *, radius: float = 0.0,
        outline: bool = True, opacity: float = 1.0,
    ) -> None:  # fmt: skip
        """Fill a rectangle from its upper left `corner`, its own corners rounded by `radius`."""
        (x, y), (width, height) = corner, size
        arc = np.linspace(0, np.pi / 2, 6) if radius else np.zeros(1)
        points = []
        for quarter, (cx, cy) in enumerate(
            [(x + width - radius, y + height - radius), (x + radius, y + height - radius),
             (x + radius, y + radius), (x + width - radius, y + radius)]
        ):  # fmt: skip
            turn = arc + quarter * np.pi / 2
            points += list(zip(cx + radius * np.cos(turn), cy + radius * np.sin(turn), strict=True))
        self.polygon(points, colour, outline=outline, opacity=opacity)

    def line(
        self, points: Sequence[Point] | NDArray[np.float64], colour: Colour, width: float = 0.05
    ) -> None:
        """Draw a line through `points`; `width` in the sprite's own units."""
        cv2.polylines(
            self._pixels, [self._to_pixels(points)], False, (*colour, 255), self._width(width),
            cv2.LINE_AA, _FRACTION_BITS,
        )  # fmt: skip

    def picture(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return colour times opacity `[H,W,3]`, lit from the upper left, and opacity `[H,W,1]`.

        Colour is 0 to 255 RGB, opacity 0 to 1.
        """
        pixels = cv2.resize(
            self._pixels, (self._side, self._side), interpolation=cv2.INTER_AREA
        ).astype(np.float32)  # [H, W, 4]
        ramp = np.linspace(0, 1, self._side, dtype=np.float32)
        light = 1.12 - 0.17 * ramp[:, None] - 0.12 * ramp[None, :]  # [H, W]
        opacity = pixels[..., 3:] / np.float32(255)  # [H, W, 1]
        colour = np.minimum(pixels[..., :3] * light[..., None], pixels[..., 3:])  # [H, W, 3]
        return colour, opacity

    def _to_pixels(self, points: Sequence[Point] | NDArray[np.float64]) -> NDArray[np.int32]:
        placed = np.asarray(points, float) @ self._matrix.T + self._shift  # [N, 2]
        return np.round((placed + REACH) * self._scale * 2**_FRACTION_BITS).astype(np.int32)

    def _width(self, width: float) -> int:
        return max(1, round(width * self._scale))
