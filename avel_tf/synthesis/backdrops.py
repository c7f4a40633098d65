"""Backdrops of synthetic clips, with a slowly moving camera.

Backdrops are independent of the event: every class has every backdrop equally often.
"""

from __future__ import annotations

import colorsys
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
_MARGIN = 0.08  # margin beyond each edge of the frame, for the motion of the camera


@dataclass(frozen=True)
class Backdrop:
    """A place, larger than the frame, and its foreground.

    Args:
        place: uint8 `[H',W',3]` RGB, larger than the frame by the camera's margin.
        front: uint8 `[h,W',3]` RGB, the lowest rows of the foreground.
        front_opacity: float32 `[h,W',1]`, 0 to 1.
        sway: amplitude of the camera's motion in pixels, x and y.
        pace: speed of the motion, radians per second.
    """

    place: Image
    front: Image
    front_opacity: NDArray[np.float32]
    sway: tuple[float, float]
    pace: float

    def at(self, time: float, width: int, height: int) -> Image:
        """Returns the visible part of the place at `time` seconds, uint8 `[H,W,3]`."""
        centre = (
            (self.place.shape[1] - 1) / 2 + self.sway[0] * np.sin(self.pace * time),
            (self.place.shape[0] - 1) / 2 + self.sway[1] * np.cos(1.3 * self.pace * time),
        )
        return np.asarray(cv2.getRectSubPix(self.place, (width, height), centre), np.uint8)

    def cover(self, picture: NDArray[np.float32], time: float) -> None:
        """Draws the foreground over the lowest rows of a float32 frame `[H,W,3]`, in place."""
        rows, width = self.front.shape[0], picture.shape[1]
        if not rows:
            return
        # The foreground moves faster than the place behind it.
        spare = self.front.shape[1] - width
        left = round(spare / 2 + 0.5 * spare * np.sin(self.pace * time))
        opacity = self.front_opacity[:, left : left + width]  # [h, W, 1]
        strip = picture[-rows:]  # [h, W, 3]
        strip += opacity * (self.front[:, left : left + width] - strip)


def draw_backdrop(rng: np.random.Generator, width: int, height: int) -> Backdrop:
    """Draw one of the places at random, in colours and details of its own.

    Args:
        rng: source of every choice.
        width: width of the picture in pixels.
        height: height of the picture in pixels.

    Returns:
        The place, with a camera path.
    """
    margin = (round(width * _MARGIN), round(height * _MARGIN))
    size = (width + 2 * margin[0], height + 2 * margin[1])
    places = (_meadow, _room, _city, _sea, _lights, _studio)
    kind = places[int(rng.integers(len(places)))]
    # Drawn at twice the size, then reduced: smooth edges without thinking about them.
    place = cv2.resize(kind(rng, 2 * size[0], 2 * size[1]), size, interpolation=cv2.INTER_AREA)
    grain = coarse_noise(rng, size[0], size[1], 24) * 5  # paper-like unevenness, in grey levels
    place = np.clip(place + grain[..., None], 0, 255).astype(np.uint8)
    front, opacity = _foreground(rng, size[0], height)
    sway = (rng.uniform(0.4, 1) * (margin[0] - 1), rng.uniform(0.2, 1) * (margin[1] - 1))
    return Backdrop(place, front, opacity, sway, pace=float(rng.uniform(0.15, 0.5)))


def coarse_noise(
    rng: np.random.Generator, width: int, height: int, cell: int
) -> NDArray[np.float32]:
    """Return smooth noise `[H,W]` about 0, its blobs about `cell` pixels wide."""
    small = rng.normal(size=(height // cell + 2, width // cell + 2)).astype(np.float32)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC))


def _colour(rng: np.random.Generator, hue: float, saturation: float, value: float) -> list[float]:
    spread = rng.normal(0, [0.02, 0.06, 0.05])
    red, green, blue = colorsys.hsv_to_rgb(
        (hue + spread[0]) % 1.0,
        float(np.clip(saturation + spread[1], 0, 1)),
        float(np.clip(value + spread[2], 0, 1)),
    )
    return [255 * red, 255 * green, 255 * blue]


def _pixel(x: float, y: float) -> tuple[int, int]:
    return round(x), round(y)


def _gradient(top: list[float], bottom: list[float], width: int, height: int) -> Image:
    part = np.linspace(0, 1, height)[:, None, None]
    column = np.asarray(top) * (1 - part) + np.asarray(bottom) * part  # [H, 1, 3]
    return np.ascontiguousarray(np.broadcast_to(column, (height, width, 3)).astype(np.uint8))


def _polygon(image: Image, points: list[tuple[float, float]], colour: list[float]) -> None:
    cv2.fillPoly(image, [np.round(points).astype(np.int32)], colour, cv2.LINE_AA)


def _hill(rng: np.random.Generator, image: Image, level: float, colour: list[float]) -> None:
    height, width = image.shape[:2]
    x = np.linspace(0, width, 60)
    waves = sum(
        rng.uniform(0.01, 0.05) * np.sin(2 * np.pi * x / width * rng.uniform(0.5, 2.5) + start)
        for start in rng.uniform(0, 6.28, 3)
    )
    ridge = list(zip(x, (level + waves) * height, strict=True))
    _polygon(image, [*ridge, (width, height), (0, height)], colour)


def _clouds(rng: np.random.Generator, image: Image, lowest: float) -> None:
    height, width = image.shape[:2]
    veil = image.copy()
    for _ in range(int(rng.integers(2, 5))):
        x, y = rng.uniform(0, width), rng.uniform(0.05, lowest) * height
        for _ in range(5):
            centre = (x + rng.normal(0, 0.06) * width, y + rng.normal(0, 0.01) * height)
            radii = (rng.uniform(0.04, 0.09) * width, rng.uniform(0.02, 0.05) * height)
            cv2.ellipse(veil, _pixel(*centre), _pixel(*radii), 0, 0, 360, (252, 252, 255), -1,
                        cv2.LINE_AA)  # fmt: skip
    image[:] = cv2.addWeighted(veil, 0.65, image, 0.35, 0)


def _meadow(rng: np.random.Generator, width: int, height: int) -> Image:
    image = _gradient(_colour(rng, 0.56, 0.5, 0.9), _colour(rng, 0.54, 0.14, 0.97), width, height)
    _clouds(rng, image, 0.4)
    for step, level in enumerate((0.52, 0.63, 0.76)):
        _hill(rng, image, level, _colour(rng, 0.27 - 0.02 * step, 0.42, 0.72 - 0.07 * step))
        for _ in range(int(rng.integers(1, 4))):
            x, y = rng.uniform(0, width), (level + 0.05) * height
            crown = rng.uniform(0.04, 0.08) * height
            cv2.line(image, (round(x), round(y)), (round(x), round(y - 2 * crown)), (96, 70, 48), 5,
                     cv2.LINE_AA)  # fmt: skip
            cv2.circle(image, (round(x), round(y - 2.4 * crown)), round(crown),
                       _colour(rng, 0.32, 0.5, 0.5), -1, cv2.LINE_AA)  # fmt: skip
    return image


def _room(rng: np.random.Generator, width: int, height: int) -> Image:
    hue = rng.random()
    image = _gradient(_colour(rng, hue, 0.2, 0.88), _colour(rng, hue, 0.24, 0.8), width, height)
    stripe, gap = _colour(rng, hue, 0.3, 0.8), int(rng.integers(36, 70))
    for x in range(0, width, gap):
        cv2.rectangle(image, (x, 0), (x + gap // 3, height), stripe, -1)
    floor = round(rng.uniform(0.72, 0.84) * height)
    image[floor:] = _gradient(_colour(rng, 0.08, 0.5, 0.6), _colour(rng, 0.07, 0.5, 0.45), width,
                              height - floor)  # fmt: skip
    cv2.rectangle(image, (0, floor - 10), (width, floor), _colour(rng, 0.1, 0.08, 0.95), -1)
    for near in np.linspace(-0.6, 1.6, 14) * width:
        far = 0.5 * width + 0.7 * (near - 0.5 * width)
        board = _pixel(far, floor), _pixel(near, height)
        cv2.line(image, *board, _colour(rng, 0.07, 0.5, 0.4), 2, cv2.LINE_AA)
    for _ in range(int(rng.integers(1, 4))):
        corner = _pixel(rng.uniform(0, 0.85) * width, rng.uniform(0.05, 0.35) * height)
        across, down = rng.uniform(0.1, 0.2) * width, rng.uniform(0.15, 0.28) * height
        opposite = _pixel(corner[0] + across, corner[1] + down)
        cv2.rectangle(image, corner, opposite, (108, 78, 52), -1)
        top, bottom = _colour(rng, rng.random(), 0.4, 0.9), _colour(rng, rng.random(), 0.4, 0.6)
        inside = _gradient(top, bottom, max(1, round(across) - 12), max(1, round(down) - 12))
        spot = image[corner[1] + 6 :, corner[0] + 6 :][: inside.shape[0], : inside.shape[1]]
        spot[:] = inside[: spot.shape[0], : spot.shape[1]]
    return image


def _city(rng: np.random.Generator, width: int, height: int) -> Image:
    hue = rng.uniform(0.6, 0.75)
    image = _gradient(_colour(rng, hue, 0.5, 0.5), _colour(rng, 0.06, 0.4, 0.95), width, height)
    for depth, value in enumerate((0.55, 0.42, 0.3)):
        x = -20.0
        while x < width:
            across = rng.uniform(0.06, 0.13) * width
            top = rng.uniform(0.25, 0.55) + 0.1 * depth
            wall = _colour(rng, hue, 0.3, value)
            corner = _pixel(x, top * height)
            cv2.rectangle(image, corner, _pixel(x + across, height), wall, -1)
            for row in np.arange(top * height + 12, height, 22):
                for column in np.arange(x + 8, x + across - 12, 18):
                    if rng.random() < 0.3:
                        window = _pixel(column, row), _pixel(column + 8, row + 10)
                        cv2.rectangle(image, *window, (250, 216, 140), -1)
            x += across * rng.uniform(1.0, 1.3)
    return image


def _sea(rng: np.random.Generator, width: int, height: int) -> Image:
    warm = rng.random()
    image = _gradient(_colour(rng, 0.58, 0.45, 0.88), _colour(rng, 0.58 - 0.5 * warm, 0.25, 0.97),
                      width, height)  # fmt: skip
    sun = _pixel(rng.uniform(0.1, 0.9) * width, rng.uniform(0.15, 0.4) * height)
    cv2.circle(image, sun, round(0.07 * height), (255, 244, 206), -1, cv2.LINE_AA)
    _clouds(rng, image, 0.35)
    horizon = round(rng.uniform(0.5, 0.62) * height)
    image[horizon:] = _gradient(_colour(rng, 0.54, 0.45, 0.72), _colour(rng, 0.58, 0.6, 0.5), width,
                                height - horizon)  # fmt: skip
    for _ in range(60):
        y = horizon + (height - horizon) * rng.random() ** 1.5
        x, half = rng.uniform(0, width), 0.06 * width * (0.2 + (y - horizon) / height)
        cv2.line(image, (round(x - half), round(y)), (round(x + half), round(y)),
                 _colour(rng, 0.53, 0.25, 0.9), 2, cv2.LINE_AA)  # fmt: skip
    return image


def _lights(rng: np.random.Generator, width: int, height: int) -> Image:
    hue = rng.random()
    top, bottom = _colour(rng, hue, 0.5, 0.3), _colour(rng, hue + 0.1, 0.5, 0.45)
    image = _gradient(top, bottom, width, height)
    for _ in range(26):
        layer = image.copy()
        centre = (round(rng.uniform(0, width)), round(rng.uniform(0, height)))
        colour = _colour(rng, hue + rng.normal(0, 0.12), 0.45, 0.95)
        cv2.circle(layer, centre, round(rng.uniform(0.03, 0.1) * height), colour, -1, cv2.LINE_AA)
        image = np.asarray(cv2.addWeighted(layer, 0.35, image, 0.65, 0), np.uint8)
    return np.asarray(cv2.GaussianBlur(image, (0, 0), 3), np.uint8)


def _studio(rng: np.random.Generator, width: int, height: int) -> Image:
    hue, value = rng.random(), rng.uniform(0.55, 0.9)
    image = _gradient(_colour(rng, hue, 0.25, value), _colour(rng, hue, 0.3, 0.8 * value), width,
                      height)  # fmt: skip
    for _ in range(int(rng.integers(3, 7))):  # cut paper shapes on the wall
        centre = rng.uniform(0, 1, 2) * (width, height)
        turn = np.sort(rng.uniform(0, 2 * np.pi, int(rng.integers(3, 7))))
        reach = rng.uniform(0.1, 0.28) * height
        corners = centre + reach * np.stack([np.cos(turn), np.sin(turn)], axis=1)
        colour = _colour(rng, hue + rng.normal(0, 0.1), 0.3, value)
        _polygon(image, [(x, y) for x, y in corners], colour)
    return image


def _foreground(
    rng: np.random.Generator, width: int, height: int
) -> tuple[Image, NDArray[np.float32]]:
    """Grass, a railing, or nothing along the lower edge, which hides the feet of what is near."""
    rows = round(rng.uniform(0.08, 0.16) * height)
    kind = rng.choice(["grass", "railing", "nothing"])
    if kind == "nothing":
        return np.zeros((0, width, 3), np.uint8), np.zeros((0, width, 1), np.float32)
    image = np.zeros((2 * rows, 2 * width, 4), np.uint8)  # colour x opacity, twice the size
    if kind == "grass":
        for _ in range(width // 2):
            x, lean = rng.uniform(0, 2 * width), rng.normal(0, 7)
            top = 2 * rows * rng.uniform(0.0, 0.7)
            blade = [(x - 3, 2.0 * rows), (x + 3, 2.0 * rows), (x + lean, top)]
            _polygon(image, blade, [*_colour(rng, 0.3, 0.55, 0.42), 255])
    else:
        wood = [*_colour(rng, 0.07, 0.35, 0.75), 255]
        cv2.rectangle(image, (0, rows // 2), (2 * width, rows // 2 + 9), wood, -1)
        for x in range(0, 2 * width, int(rng.integers(46, 80))):
            cv2.rectangle(image, (x, 0), (x + 12, 2 * rows), wood, -1)
    small = cv2.resize(image, (width, rows), interpolation=cv2.INTER_AREA)
    opacity = (small[..., 3:] / 255).astype(np.float32)  # [h, W', 1]
    colour = small[..., :3] / np.maximum(opacity, 1 / 255)
    return np.clip(colour, 0, 255).astype(np.uint8), opacity
