"""Drawings of machines, each of which can give any signal of `signals`.

Like the drawings of `objects`, each moves to its sound: it shakes and its lamp glows.
"""

from __future__ import annotations

import numpy as np

from avel_tf.synthesis.objects import BLACK, GLASS, STEEL, WHITE, Look, Motion, shaded
from avel_tf.synthesis.sprite import Colour, Point, Sprite


def robot(sprite: Sprite, motion: Motion, look: Look) -> None:
    """A robot with a lamp on its antenna and a mouth that opens."""
    paint = look.pick([(96, 158, 190), (206, 120, 60), (150, 156, 166), (130, 170, 96)])
    sprite.line([(0, -0.78), (0, -0.95)], BLACK, 0.05)
    _lamp(sprite, (0, -0.95), motion)
    for side in (-1, 1):
        with sprite.turned(side * (0.2 + 0.5 * motion.level), (side * 0.55, 0.25)):
            sprite.box((side * 0.66 - 0.11, 0.2), (0.22, 0.62), shaded(paint, 0.75), radius=0.1)
    sprite.box((-0.5, 0.12), (1.0, 0.66), paint, radius=0.08)
    for x in (-0.28, 0.28):
        sprite.box((x - 0.14, 0.78), (0.28, 0.24), shaded(paint, 0.6), radius=0.05)
    sprite.box((-0.6, -0.78), (1.2, 0.84), shaded(paint, 1.15), radius=0.16)
    for x in (-0.27, 0.27):
        sprite.ellipse((x, -0.45), (0.17, 0.17), WHITE)
        sprite.ellipse((x, -0.45), (0.08, 0.08), BLACK, outline=False)
    sprite.box((-0.3, -0.17), (0.6, 0.06 + 0.12 * motion.level), (120, 30, 40), radius=0.03)
    for x in (-0.25, 0.0, 0.25):
        sprite.ellipse((x, 0.42), (0.08, 0.08), (230, 196, 70))


def tram(sprite: Sprite, motion: Motion, look: Look) -> None:
    """A tram from the side, under its wire, with a lamp on the roof."""
    paint = look.pick([(196, 44, 46), (232, 190, 60), (52, 132, 84), (58, 92, 168)])
    shake = 0.025 * motion.level * np.sin(2 * np.pi * 3.1 * motion.time)
    sprite.line([(-1.1, -0.92), (1.1, -0.92)], BLACK, 0.03)
    sprite.line([(-0.2, -0.5), (0.1, -0.72), (-0.1, -0.92)], BLACK, 0.04)
    _lamp(sprite, (0.66, -0.56), motion)
    sprite.box((-1.0, -0.5 + shake), (2.0, 1.04), paint, radius=0.14)
    sprite.box((-1.0, 0.1 + shake), (2.0, 0.16), WHITE, outline=False)
    for x in (-0.88, -0.42, 0.04, 0.5):
        sprite.box((x, -0.36 + shake), (0.36, 0.38), GLASS, radius=0.05)
    for x in (-0.6, 0.6):
        sprite.ellipse((x, 0.6), (0.2, 0.2), (52, 52, 58))
        sprite.ellipse((x, 0.6), (0.08, 0.08), STEEL)
    sprite.line([(-1.1, 0.82), (1.1, 0.82)], shaded(STEEL, 0.6), 0.06)


def ferry(sprite: Sprite, motion: Motion, look: Look) -> None:
    """A ship that rolls on the waves, with smoke from its funnel."""
    hull = look.pick([(34, 60, 110), (150, 38, 40), (40, 44, 52), (36, 110, 110)])
    with sprite.turned(0.05 * np.sin(2 * np.pi * 0.4 * motion.time), (0, 0.5)):
        sprite.box((-0.62, -0.22), (1.2, 0.42), WHITE, radius=0.05)
        sprite.box((-0.4, -0.55), (0.7, 0.36), (236, 230, 214), radius=0.05)
        sprite.polygon([(-0.2, -0.98), (0.1, -0.98), (0.14, -0.54), (-0.22, -0.54)], (226, 120, 36))
        sprite.line([(-0.19, -0.8), (0.11, -0.8)], BLACK, 0.1)
        for puff in range(3):
            drift = (0.6 * motion.time + puff / 3) % 1.0
            size = (0.06 + 0.12 * drift) * (0.4 + 0.9 * motion.level)
            sprite.ellipse((-0.05 - 0.7 * drift, -1.02 + 0.1 * drift), (size, size),
                           (214, 216, 222), outline=False, opacity=0.8)  # fmt: skip
        for x in (-0.46, -0.2, 0.06, 0.32):
            sprite.ellipse((x, -0.02), (0.085, 0.085), GLASS)
        sprite.polygon([(-1.0, 0.16), (1.05, 0.1), (0.74, 0.72), (-0.78, 0.72)], hull)
        _lamp(sprite, (0.72, -0.02), motion)
    for wave in range(5):
        x = -1.0 + 0.42 * wave + 0.08 * np.sin(2.4 * motion.time)
        sprite.ellipse((x + 0.16, 0.8), (0.26, 0.13), (84, 148, 196))


def lighthouse(sprite: Sprite, motion: Motion, look: Look) -> None:
    """A banded tower on a rock; its beam follows the sound."""
    band = look.pick([(198, 46, 44), (42, 76, 148), (40, 42, 48), (36, 124, 88)])
    for side in (-1, 1):
        reach = 0.3 + 0.75 * motion.level
        sprite.polygon([(0, -0.68), (side * reach, -0.9), (side * reach, -0.46)], (255, 242, 160),
                       outline=False, opacity=0.8)  # fmt: skip
    sprite.ellipse((0, 0.98), (0.72, 0.2), (110, 104, 98))
    for step in range(5):
        top, bottom = -0.48 + 0.28 * step, -0.2 + 0.28 * step
        upper, lower = 0.19 + 0.045 * step, 0.235 + 0.045 * step
        sprite.polygon([(-upper, top), (upper, top), (lower, bottom), (-lower, bottom)],
                       WHITE if step % 2 else band)  # fmt: skip
    sprite.box((-0.3, -0.54), (0.6, 0.09), BLACK, radius=0.03)
    sprite.box((-0.16, -0.82), (0.32, 0.28), GLASS)
    _lamp(sprite, (0, -0.68), motion)
    sprite.polygon([(-0.24, -0.82), (0, -1.08), (0.24, -0.82)], band)


def tractor(sprite: Sprite, motion: Motion, look: Look) -> None:
    """A tractor with one large and one small wheel, its exhaust puffing."""
    paint = look.pick([(52, 138, 58), (206, 58, 40), (44, 98, 172), (226, 150, 36)])
    shake = 0.03 * motion.level * np.sin(2 * np.pi * 4.3 * motion.time)
    sprite.line([(0.5, -0.15), (0.5, -0.6)], BLACK, 0.08)
    size = 0.06 + 0.16 * motion.level
    sprite.ellipse((0.5, -0.68 - 0.5 * size), (size, size), (120, 120, 126), outline=False,
                   opacity=0.8)  # fmt: skip
    sprite.box((-0.72, -0.86 + shake), (0.86, 0.1), shaded(paint, 0.8), radius=0.03)
    sprite.polygon([(-0.6, -0.76 + shake), (0.02, -0.76 + shake), (0.12, -0.1), (-0.6, -0.1)],
                   GLASS)  # fmt: skip
    _lamp(sprite, (-0.28, -0.96), motion)
    sprite.box((-0.1, -0.22 + shake), (1.06, 0.5), paint, radius=0.08)
    sprite.box((-0.78, -0.12 + shake), (0.7, 0.42), shaded(paint, 0.9), radius=0.08)
    for x, y, radius in ((-0.48, 0.4, 0.54), (0.66, 0.6, 0.34)):
        sprite.ellipse((x, y), (radius, radius), (40, 40, 44))
        sprite.ellipse((x, y), (0.55 * radius, 0.55 * radius), (232, 198, 60))
        with sprite.turned(3.0 * motion.time, (x, y)):
            sprite.line([(x - 0.5 * radius, y), (x + 0.5 * radius, y)], BLACK, 0.05)


def _lamp(sprite: Sprite, centre: Point, motion: Motion) -> None:
    """Draws the warning lamp of a machine, as bright as its sound is loud."""
    glow: Colour = (255, 214, 90)
    halo = 0.1 + 0.2 * motion.level
    sprite.ellipse(centre, (halo, halo), glow, outline=False, opacity=0.2 + 0.5 * motion.level)
    sprite.ellipse(centre, (0.09, 0.09), shaded((255, 120, 60), 0.5 + 0.5 * motion.level))


MACHINES = {
    "Robot": robot,
    "Tram": tram,
    "Ferry": ferry,
    "Lighthouse": lighthouse,
    "Tractor": tractor,
}
