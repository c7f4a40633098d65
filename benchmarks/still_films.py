"""Films that hardly move, drawn for the benchmark of frame reuse."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np

from avel_tf.synthesis.writer import write_video

SECONDS, RATE, HEIGHT, WIDTH, SAMPLE_RATE = 20, 10, 360, 640, 16_000


def _room(rng: np.random.Generator) -> np.ndarray:
    """A blurred backdrop with some boxes, uint8 [H, W, 3]."""
    small = rng.integers(40, 200, (9, 16, 3)).astype(np.uint8)
    image = cv2.resize(small, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    for _ in range(12):
        x, y = rng.integers(0, WIDTH), rng.integers(0, HEIGHT)
        w, h = rng.integers(20, 160, 2)
        color = tuple(map(int, rng.integers(0, 256, 3)))
        cv2.rectangle(image, (int(x), int(y)), (int(x + w), int(y + h)), color, -1)
    return image


def _page(rng: np.random.Generator, lines: int) -> np.ndarray:
    """White paper with lines of text, uint8 [H, W, 3]."""
    image = np.full((HEIGHT, WIDTH, 3), 245, np.uint8)
    for line in range(lines):
        text = "".join(chr(c) for c in rng.integers(97, 123, 38))
        cv2.putText(image, text, (20, 30 + 24 * line), 0, 0.6, (30, 30, 60), 1, cv2.LINE_AA)
    return image


def slides(rng: np.random.Generator) -> Iterator[np.ndarray]:
    """A new slide every 5 s."""
    for start in range(0, SECONDS * RATE, 5 * RATE):
        page = _page(rng, 12)
        page[200:340, 380:620] = _room(rng)[200:340, 380:620]
        yield from [page] * min(5 * RATE, SECONDS * RATE - start)


def screen(rng: np.random.Generator) -> Iterator[np.ndarray]:
    """A screen on which text is written, with a cursor that moves for 2 of every 6 s."""
    page, x, y = _page(rng, 6), 300, 150
    for number in range(SECONDS * RATE):
        if number % 7 == 0:
            letter = chr(int(rng.integers(97, 123)))
            place = (20 + 14 * (number // 7 % 40), 200 + 24 * (number // 280))
            cv2.putText(page, letter, place, 0, 0.6, (30, 30, 60), 1, cv2.LINE_AA)
        if number // RATE % 6 < 2:
            x, y = (x + 7) % WIDTH, (y + 3) % HEIGHT
        shown = page.copy()
        cv2.circle(shown, (x, y), 5, (200, 30, 30), -1)
        yield shown


def surveillance(rng: np.random.Generator) -> Iterator[np.ndarray]:
    """A room with the noise of a sensor, through which somebody walks from 8 to 11 s."""
    room = _room(rng).astype(np.float32)
    for number in range(SECONDS * RATE):
        image = room + rng.normal(0, 4, room.shape)
        if 8 <= number / RATE < 11:
            x = int(WIDTH * (number / RATE - 8) / 3)
            cv2.ellipse(image, (x, 200), (35, 110), 0, 0, 360, (40, 60, 160), -1)
        yield image.clip(0, 255).astype(np.uint8)


def still(rng: np.random.Generator) -> Iterator[np.ndarray]:
    """One image, as of music with its cover."""
    yield from [_room(rng)] * (SECONDS * RATE)


KINDS: tuple[Callable[[np.random.Generator], Iterator[np.ndarray]], ...] = (
    *(slides, screen, surveillance, still),
)


def write_still_films(folder: Path, each: int) -> dict[str, list[Path]]:
    """Write films of each kind with sounds that come and go; returns their paths by kind."""
    paths: dict[str, list[Path]] = {}
    for kind in KINDS:
        for number in range(each):
            rng = np.random.default_rng([number, len(paths)])
            time = np.arange(SECONDS * SAMPLE_RATE) / SAMPLE_RATE
            tone = np.sin(2 * np.pi * rng.integers(150, 900) * time) * (time % 6 < 3) * 0.3
            noise = rng.normal(0, 0.02, len(time))
            path = folder / f"{kind.__name__}-{number}.mp4"
            write_video(path, kind(rng), (tone + noise).astype(np.float32), frame_rate=RATE)
            paths.setdefault(kind.__name__, []).append(path)
    return paths
