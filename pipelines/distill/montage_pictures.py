"""Frames of a montage clip."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from avel_tf.synthesis.clip_plan import ClipPlan, runs
from pipelines.distill.material import OTHER, Material

if TYPE_CHECKING:
    from pipelines.distill.montage import MontageSettings

Picture = NDArray[np.float32]


def look(
    plan: ClipPlan, material: Material, settings: MontageSettings, seed: Sequence[int]
) -> Iterator[NDArray[np.uint8]]:
    """The pictures of a clip, uint8 `[H, W, 3]` RGB, one after the other."""
    rng = np.random.default_rng([*seed, 2])
    grain = rng.normal(0, rng.uniform(0, 5), (3, settings.size, settings.size, 1))
    shots: list[tuple[float, _Shot]] = []  # until when, what
    for thing, _, end in runs([thing or OTHER for thing in plan.visible]):
        # A cut is a little early or a little late, in favour of one of its neighbours.
        until = end + (end < settings.seconds) * rng.uniform(-1, 1) * settings.late[1]
        time = shots[-1][0] if shots else 0.0
        cuts = []
        while time < until:
            time += rng.uniform(*settings.shot)
            cuts.append(min(time, until))
        pictures = material.draw_pictures(rng, thing, len(cuts))
        shots += [
            (cut, _Shot(rng, material, material.picture(file), settings))
            for cut, file in zip(cuts, pictures, strict=True)
        ]
    began = 0.0
    for number in range(round(settings.seconds * settings.frame_rate)):
        time = number / settings.frame_rate
        while time >= shots[0][0]:
            began = shots.pop(0)[0]
        until, shot = shots[0]
        picture = shot.at((time - began) / (until - began)) + grain[number % 3]  # [H, W, 3]
        yield np.clip(picture, 0, 255).astype(np.uint8)


class _Shot:
    """One picture, and the camera that moves slowly over it."""

    def __init__(
        self,
        rng: np.random.Generator,
        material: Material,
        picture: NDArray[np.uint8],
        settings: MontageSettings,
    ) -> None:
        self._size = settings.size
        self._picture = _developed(rng, picture)
        if rng.random() < settings.inset_probability:
            behind = material.picture(material.draw_pictures(rng, OTHER, 1)[0])
            self._picture = _inset(rng, self._picture, _developed(rng, behind), settings)
        height, width = self._picture.shape[:2]
        aspect, share = rng.uniform(*settings.aspect), rng.uniform(*settings.window)
        tall = share * min(height, width / aspect)
        self._from = self._window(rng, tall, aspect)
        # Over a shot the camera comes or goes a little, and its centre drifts with it.
        closer = min(tall * rng.uniform(0.85, 1.15), height, width / aspect)
        target = self._window(rng, closer, aspect)
        self._to = 0.7 * self._from + 0.3 * target

    def at(self, part: float) -> Picture:
        """Frame at a position in the shot, 0 to 1: `[H, W, 3]`."""
        left, top, width, height = (1 - part) * self._from + part * self._to
        scale = np.array([[width / self._size, 0, left], [0, height / self._size, top]])
        # INTER_AREA does not exist for warps: reduced or not, cubic is what a player does, too.
        return cv2.warpAffine(
            self._picture,
            scale,
            (self._size, self._size),
            flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )

    def _window(self, rng: np.random.Generator, tall: float, aspect: float) -> NDArray[np.float64]:
        """Left, top, width and height of what is shown."""
        height, width = self._picture.shape[:2]
        wide = tall * aspect
        return np.array([rng.random() * (width - wide), rng.random() * (height - tall), wide, tall])


def _developed(rng: np.random.Generator, picture: NDArray[np.uint8]) -> Picture:
    """The picture in other light, mirrored or not, sharp or not, float32 `[H, W, 3]`."""
    if rng.random() < 0.5:
        picture = picture[:, ::-1]
    light = picture.astype(np.float32) / 255
    light = np.clip(light, 0, 1) ** rng.uniform(0.75, 1.35)
    grey = light.mean(axis=2, keepdims=True)  # [H, W, 1]
    light = grey + rng.uniform(0.5, 1.25) * (light - grey)
    light = (light - 0.5) * rng.uniform(0.75, 1.2) + 0.5
    light = light * rng.uniform(0.9, 1.1, 3) * 255
    if rng.random() < 0.3:
        light = cv2.GaussianBlur(light, (0, 0), rng.uniform(0.3, 0.9))
    return np.ascontiguousarray(light, np.float32)


def _inset(
    rng: np.random.Generator, picture: Picture, behind: Picture, settings: MontageSettings
) -> Picture:
    """The picture, small and with soft edges, before another one."""
    scale = rng.uniform(*settings.inset) * min(
        behind.shape[0] / picture.shape[0], behind.shape[1] / picture.shape[1]
    )
    small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    height, width = small.shape[:2]
    edge = np.zeros((height, width), np.float32)
    margin = max(1, min(height, width) // 12)
    edge[margin:-margin, margin:-margin] = 1
    opacity = cv2.GaussianBlur(edge, (0, 0), margin / 2)[..., None]  # [h, w, 1]
    top = int(rng.integers(behind.shape[0] - height + 1))
    left = int(rng.integers(behind.shape[1] - width + 1))
    place = behind[top : top + height, left : left + width]
    place += opacity * (small - place)
    return behind
