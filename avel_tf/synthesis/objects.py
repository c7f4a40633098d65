"""Drawings of the synthetic event classes.

Every function draws an object at one moment into a `Sprite`. `Motion` describes its sound at that
moment, `Look` its appearance in this clip.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.interpolate import PchipInterpolator

from avel_tf.synthesis.sprite import Colour, Sprite

BLACK: Colour = (28, 26, 30)
WHITE: Colour = (246, 244, 238)
STEEL: Colour = (150, 156, 166)
GLASS: Colour = (150, 205, 232)
WOOD: Colour = (112, 70, 42)


@dataclass(frozen=True)
class Motion:
    """Motion of an object at one moment.

    Args:
        time: seconds since the clip began.
        level: present level of its sound, 0 to 1.
        since: seconds since the last onset of its sound (a strike, a bark, a pluck).
        beat: number of onsets so far.
    """

    time: float
    level: float
    since: float
    beat: int


@dataclass(frozen=True)
class Look:
    """Appearance of an object, constant throughout a clip.

    Args:
        choice: 0 to 1, selects a colour of the class's palette.
        shade: brightness, about 1.
    """

    choice: float
    shade: float

    def pick(self, palette: Sequence[Colour]) -> Colour:
        """Returns this clip's colour from `palette`."""
        return shaded(palette[int(self.choice * len(palette))], self.shade)


def church_bell(sprite: Sprite, motion: Motion, look: Look) -> None:
    """A bell that swings under its beam and is struck at each turning point."""
    bronze = look.pick([(206, 152, 52), (184, 122, 58), (222, 178, 84), (168, 138, 80)])
    side = 1 if motion.beat % 2 else -1
    swing = 0.34 * side * np.cos(np.pi * min(motion.since, 1.0))
    sprite.box((-0.85, -1.0), (1.7, 0.2), WOOD, radius=0.04)
    with sprite.turned(swing, (0.0, -1.0)):
        sprite.ellipse((0, 0.72), (0.15, 0.15), shaded(STEEL, 0.55))
        height = np.linspace(-0.62, 0.62, 14)
        flare = 0.24 + 0.2 * ((height + 0.62) / 1.24) + 0.22 * ((height + 0.62) / 1.24) ** 5
        right = np.stack([flare, height], axis=1)
        left = np.stack([-flare, height], axis=1)[::-1]
        sprite.box((-0.1, -0.85), (0.2, 0.28), shaded(STEEL, 0.6), radius=0.05)
        sprite.polygon(np.concatenate([right, left]), bronze)
        shine = np.concatenate([left[::-1][2:11] + (0.1, 0), left[2:11] + (0.22, 0)])
        sprite.polygon(shine, shaded(bronze, 1.3), outline=False, opacity=0.7)
        sprite.box((-0.67, 0.52), (1.34, 0.14), shaded(bronze, 0.85), radius=0.06)
        sprite.line([(-0.36, 0.12), (0.36, 0.12)], shaded(bronze, 0.7), 0.05)


def bark(sprite: Sprite, motion: Motion, look: Look) -> None:
    """The head of a dog that throws its mouth open with each bark."""
    fur = look.pick([(168, 112, 62), (92, 66, 50), (214, 176, 120), (120, 116, 114)])
    cream, dark = (238, 222, 196), shaded(fur, 0.62)
    gape = 0.08 + 0.42 * motion.level
    with sprite.turned(-0.16 * motion.level, (0, 0.9)):
        sprite.ellipse((0, 0.1 + gape * 0.75), (0.36, 0.34), cream)  # lower jaw
        sprite.ellipse((0, 0.22 + gape * 0.55), (0.27, 0.10 + gape * 0.55), (112, 26, 34))
        sprite.ellipse((0, 0.33 + gape * 0.85), (0.17, 0.05 + gape * 0.35), (232, 110, 122))
        sprite.ellipse((0, -0.25), (0.68, 0.62), fur)
        for side in (-1, 1):
            ear = [(0.34, -0.8), (0.72, -0.92), (0.98, -0.3), (0.9, 0.2), (0.66, 0.02)]
            sprite.polygon([(side * x, y) for x, y in ear], dark)
        sprite.polygon([(-0.13, -0.84), (0.13, -0.84), (0.2, -0.1), (-0.2, -0.1)], cream,
                       outline=False)  # fmt: skip
        sprite.ellipse((-0.2, 0.12), (0.27, 0.21), cream, outline=False)
        sprite.ellipse((0.2, 0.12), (0.27, 0.21), cream, outline=False)
        sprite.ellipse((0, -0.06), (0.19, 0.13), BLACK)
        sprite.ellipse((-0.05, -0.1), (0.05, 0.03), (150, 150, 158), outline=False)
        for x in (-0.34, 0.34):
            sprite.ellipse((x, -0.4), (0.13, 0.15), WHITE)
            sprite.ellipse((x, -0.38), (0.085, 0.1), (46, 30, 22), outline=False)
            sprite.ellipse((x - 0.03, -0.43), (0.03, 0.03), WHITE, outline=False)


def helicopter(sprite: Sprite, motion: Motion, look: Look) -> None:
    """A hovering helicopter whose two rotors turn."""
    paint = look.pick([(210, 62, 48), (40, 104, 176), (86, 112, 62), (232, 178, 40)])
    rise = 0.05 * np.sin(2 * np.pi * 0.5 * motion.time)
    with sprite.turned(0.06 + 0.03 * np.sin(2.1 * motion.time)):
        body = [(-0.95, -0.12), (-0.1, -0.28), (0.25, -0.36), (0.62, -0.2), (0.86, 0.14),
                (0.7, 0.38), (0.2, 0.46), (-0.16, 0.34), (-0.3, 0.12), (-0.95, 0.02)]  # fmt: skip
        sprite.polygon([(-1.05, -0.42), (-0.86, -0.42), (-0.8, -0.02), (-0.98, -0.02)],
                       shaded(paint, 0.8))  # fmt: skip
        for x in (0.06, 0.5):
            sprite.line([(x, 0.4), (x, 0.68)], BLACK, 0.05)
        sprite.line([(-0.3, 0.68), (0.8, 0.68), (0.92, 0.6)], BLACK, 0.07)
        sprite.polygon([(x, y + rise * 0.3) for x, y in body], paint)
        sprite.polygon([(0.3, -0.26), (0.56, -0.14), (0.8, 0.14), (0.32, 0.14)], GLASS)
        sprite.box((-0.06, -0.2), (0.26, 0.3), shaded(GLASS, 0.85), radius=0.05)
        sprite.line([(-0.9, -0.05), (-0.1, 0.12), (0.7, 0.26)], WHITE, 0.05)
        sprite.line([(0.12, -0.34), (0.12, -0.56)], BLACK, 0.09)
        # Real blades would blur or stand still at this frame rate: turn them slowly, over a disc.
        span = np.cos(2 * np.pi * 1.7 * motion.time)
        sprite.ellipse((0.12, -0.58), (1.0, 0.1), (188, 192, 200), outline=False, opacity=0.45)
        sprite.line([(0.12 - span, -0.58 + 0.03 * span), (0.12 + span, -0.58 - 0.03 * span)],
                    BLACK, 0.07)  # fmt: skip
        with sprite.turned(9.0 * motion.time, (-0.95, -0.25)):
            sprite.line([(-1.17, -0.25), (-0.73, -0.25)], BLACK, 0.06)


def clock(sprite: Sprite, motion: Motion, look: Look) -> None:
    """A wall clock whose red second hand jumps at each tick."""
    frame = look.pick([(122, 70, 36), (44, 84, 120), (178, 58, 54), (62, 66, 72)])
    sprite.ellipse((0, 0), (0.98, 0.98), frame)
    sprite.ellipse((0, 0), (0.8, 0.8), (250, 246, 234))
    for hour in range(12):
        angle, long = hour * np.pi / 6, 0.6 if hour % 3 == 0 else 0.66
        cos, sin = np.cos(angle), np.sin(angle)
        sprite.line([(long * cos, long * sin), (0.74 * cos, 0.74 * sin)], BLACK,
                    0.07 if hour % 3 == 0 else 0.04)  # fmt: skip
    start = 2 * np.pi * look.choice * 7
    for turn, reach, width in ((start, 0.42, 0.11), (start * 12 % 6.28, 0.62, 0.08)):
        sprite.line([(0, 0), (reach * np.sin(turn), -reach * np.cos(turn))], BLACK, width)
    settle = 0.03 * np.exp(-motion.since / 0.06)  # the hand overshoots and comes back
    turn = start + 2 * np.pi * (motion.beat / 60 + settle)
    sin, cos = np.sin(turn), -np.cos(turn)
    sprite.line([(-0.18 * sin, -0.18 * cos), (0.7 * sin, 0.7 * cos)], (214, 40, 40), 0.05)
    sprite.ellipse((0, 0), (0.08, 0.08), (214, 40, 40))


def acoustic_guitar(sprite: Sprite, motion: Motion, look: Look) -> None:
    """A guitar; the plucked string swings out and dies away."""
    wood = look.pick([(216, 152, 78), (188, 104, 50), (232, 190, 126), (150, 74, 44)])
    with sprite.turned(0.5):
        sprite.box((-0.1, -1.05), (0.2, 0.9), (84, 54, 38))
        sprite.box((-0.15, -1.14), (0.3, 0.24), (60, 40, 30), radius=0.04)
        down = [-0.22, -0.19, -0.08, 0.06, 0.2, 0.34, 0.5, 0.68, 0.86, 0.98, 1.03]
        half = [0.0, 0.18, 0.36, 0.41, 0.36, 0.35, 0.47, 0.56, 0.48, 0.24, 0.0]
        fine = np.linspace(down[0], down[-1], 40)
        right = np.stack([np.maximum(0, PchipInterpolator(down, half)(fine)), fine], axis=1)
        outline = np.concatenate([right, right[::-1] * (-1, 1)])
        sprite.polygon(outline, wood)
        sprite.polygon((outline - (0, 0.4)) * 0.86 + (0, 0.41), shaded(wood, 1.1), outline=False)
        sprite.ellipse((0, 0.22), (0.2, 0.2), (240, 214, 160))
        sprite.ellipse((0, 0.22), (0.15, 0.15), (44, 26, 20), outline=False)
        sprite.box((-0.24, 0.68), (0.48, 0.09), (60, 38, 28), radius=0.03)
        for fret in range(5):
            sprite.line([(-0.1, -0.8 + 0.15 * fret), (0.1, -0.8 + 0.15 * fret)], STEEL, 0.02)
        along = np.linspace(0, 1, 17)
        for string in range(4):
            x = -0.075 + 0.05 * string
            plucked = string == motion.beat % 4
            width = 0.16 * np.exp(-motion.since / 0.3) if plucked else 0.0
            bend = width * np.sin(np.pi * along) * np.sin(40.0 * motion.time + 1.0)
            points = np.stack([x + bend, -0.95 + 1.66 * along], axis=1)
            sprite.line(points, (255, 250, 220) if plucked else (222, 216, 200), 0.025)


def train_horn(sprite: Sprite, motion: Motion, look: Look) -> None:
    """A steam engine from the front: its lamp flares and steam bursts out as the horn blows."""
    paint = look.pick([(46, 84, 62), (36, 40, 48), (138, 34, 36), (34, 62, 116)])
    blow = motion.level
    for puff in range(4):
        drift = (motion.time * 0.8 + puff / 4) % 1.0
        centre = (0.34 * drift + 0.06 * np.sin(7 * puff), -0.82 - 0.16 * drift)
        size = (0.12 + 0.2 * drift) * (0.5 + 0.7 * blow)
        sprite.ellipse(centre, (size, size), (236, 238, 242), outline=False, opacity=0.75)
    sprite.box((-0.13, -0.82), (0.26, 0.36), shaded(paint, 0.7))
    sprite.box((-0.2, -0.88), (0.4, 0.12), shaded(paint, 0.9), radius=0.03)
    sprite.box((-0.72, -0.42), (1.44, 0.5), shaded(paint, 0.75), radius=0.1)
    for x in (-0.62, 0.38):
        sprite.box((x, -0.32), (0.24, 0.26), GLASS, radius=0.03)
    sprite.ellipse((0, 0.04), (0.6, 0.6), paint)
    sprite.ellipse((0, 0.04), (0.48, 0.48), shaded(paint, 1.25))
    sprite.ellipse((0, 0.1), (0.09, 0.09), (208, 172, 74))
    glow = 0.2 + 0.6 * blow
    sprite.ellipse((0, -0.26), (0.2 + 0.2 * blow, 0.2 + 0.2 * blow), (255, 236, 140),
                   outline=False, opacity=glow)  # fmt: skip
    sprite.ellipse((0, -0.26), (0.14, 0.14), (255, 250, 214))
    sprite.box((-0.86, 0.52), (1.72, 0.18), (176, 40, 38), radius=0.03)
    for x in (-0.58, 0.58):
        sprite.ellipse((x, 0.61), (0.12, 0.12), STEEL)
    sprite.polygon([(-0.6, 0.7), (0.6, 0.7), (0.86, 1.02), (-0.86, 1.02)], (70, 72, 80))
    for x in (-0.4, -0.13, 0.13, 0.4):
        sprite.line([(x, 0.72), (1.4 * x, 1.0)], (176, 40, 38), 0.06)


def baby_cry(sprite: Sprite, motion: Motion, look: Look) -> None:
    """A baby's face: eyes pressed shut, the mouth wide open with each wail, tears falling."""
    skin = look.pick([(250, 206, 176), (232, 178, 140), (176, 118, 84), (122, 80, 58)])
    hair, cheek = (74, 46, 32), (shaded(skin, 1.0)[0], skin[1] * 0.72, skin[2] * 0.72)
    cry = motion.level
    for x in (-0.84, 0.84):
        sprite.ellipse((x, 0.02), (0.15, 0.19), skin)
    sprite.ellipse((0, 0.05), (0.84, 0.88), skin)
    sprite.line([(-0.02, -0.82), (0.06, -0.98), (0.16, -0.9), (0.1, -0.84)], hair, 0.06)
    sprite.line([(-0.1, -0.8), (-0.14, -0.94), (-0.02, -0.96)], hair, 0.06)
    for side in (-1, 1):
        sprite.ellipse((side * 0.52, 0.24), (0.19, 0.14), cheek, outline=False, opacity=0.8)
        sprite.line([(side * 0.18, -0.2), (side * 0.36, -0.1 - 0.06 * cry), (side * 0.54, -0.2)],
                    BLACK, 0.07)  # fmt: skip
        brow = [(side * 0.14, -0.3 - 0.1 * cry), (side * 0.52, -0.42 + 0.06 * cry)]
        sprite.line(brow, hair, 0.06)
        fall = (motion.time * 1.1 + 0.5 * (side > 0)) % 1.0
        sprite.ellipse((side * (0.42 + 0.1 * fall), -0.06 + 0.7 * fall), (0.065, 0.1),
                       (110, 186, 246))  # fmt: skip
    sprite.ellipse((0, 0.12), (0.09, 0.06), shaded(skin, 0.88), outline=False)
    gape = 0.07 + 0.25 * cry
    sprite.ellipse((0, 0.54), (0.22 + 0.14 * cry, gape), (126, 24, 40))
    sprite.ellipse((0, 0.54 + 0.55 * gape), (0.17, 0.42 * gape), (236, 118, 128), outline=False)


def race_car(sprite: Sprite, motion: Motion, look: Look) -> None:
    """A low racing car with turning wheels, shaking over the road as air streaks past."""
    paint = look.pick([(214, 36, 40), (28, 92, 190), (244, 192, 34), (36, 150, 92)])
    shake = 0.03 * np.sin(2 * np.pi * 4.3 * motion.time)
    for streak in range(4):
        x = 1.1 - ((motion.time * 2.2 + 0.29 * streak) % 1.0) * 2.2
        y = -0.34 + 0.26 * streak
        sprite.line([(x, y), (x + 0.3, y)], (232, 236, 242), 0.035)
    sprite.ellipse((0, 0.58), (1.05, 0.09), BLACK, outline=False, opacity=0.45)
    body = [(1.08, 0.36), (1.06, 0.22), (0.5, 0.06), (0.26, 0.0), (0.14, -0.14), (-0.1, -0.3),
            (-0.3, -0.28), (-0.7, -0.06), (-0.98, -0.02), (-1.02, 0.36)]  # fmt: skip
    sprite.line([(-0.9, -0.02), (-0.9, -0.34 + shake)], BLACK, 0.07)
    sprite.box((-1.1, -0.48 + shake), (0.5, 0.16), paint, radius=0.03)
    sprite.polygon([(x, y + shake) for x, y in body], paint)
    sprite.ellipse((0.06, -0.2 + shake), (0.17, 0.17), WHITE)
    sprite.box((0.08, -0.27 + shake), (0.18, 0.11), BLACK, radius=0.03)
    sprite.polygon([(0.9, 0.2 + shake), (-0.3, -0.02 + shake), (-0.62, 0.06 + shake),
                    (-0.1, 0.16 + shake)], WHITE, outline=False)  # fmt: skip
    sprite.ellipse((-0.32, 0.14 + shake), (0.17, 0.17), WHITE)
    sprite.line([(-0.34, 0.05 + shake), (-0.3, 0.04 + shake), (-0.3, 0.24 + shake)], BLACK, 0.06)
    for x in (-0.66, 0.64):
        sprite.ellipse((x, 0.34), (0.27, 0.27), (34, 34, 38))
        sprite.ellipse((x, 0.34), (0.14, 0.14), (206, 210, 216))
        with sprite.turned(8.0 * motion.time, (x, 0.34)):
            sprite.line([(x - 0.13, 0.34), (x + 0.13, 0.34)], BLACK, 0.05)
            sprite.line([(x, 0.21), (x, 0.47)], BLACK, 0.05)


def accordion(sprite: Sprite, motion: Motion, look: Look) -> None:
    """An accordion whose bellows open and close while its keys go down."""
    lacquer = look.pick([(176, 28, 44), (30, 74, 138), (36, 36, 42), (28, 116, 92)])
    pull = 0.26 + 0.2 * np.sin(2 * np.pi * 0.45 * motion.time)
    left, right = -0.3 - pull, 0.3 + pull
    folds = 9
    edges = np.linspace(left, right, folds + 1)
    for fold in range(folds):
        colour = (226, 214, 190) if fold % 2 else (150, 34, 44)
        bulge = 0.04 if fold % 2 else 0.0
        sprite.polygon([(edges[fold], -0.6 + bulge), (edges[fold + 1], -0.6 + bulge),
                        (edges[fold + 1], 0.64 - bulge), (edges[fold], 0.64 - bulge)],
                       colour)  # fmt: skip
    sprite.box((left - 0.34, -0.72), (0.38, 1.48), lacquer, radius=0.08)
    sprite.box((right - 0.04, -0.72), (0.42, 1.48), lacquer, radius=0.08)
    for row in range(5):
        for column in range(2):
            sprite.ellipse((left - 0.24 + 0.17 * column, -0.48 + 0.25 * row), (0.055, 0.055), WHITE)
    for key in range(8):
        pressed = key == (motion.beat * 3) % 8
        sprite.box((right + 0.12, -0.64 + 0.165 * key), (0.24, 0.15),
                   (255, 206, 90) if pressed else WHITE)  # fmt: skip
    for key in (0, 1, 3, 4, 5):
        sprite.box((right + 0.12, -0.52 + 0.165 * key), (0.13, 0.08), BLACK, outline=False)


def frying(sprite: Sprite, motion: Motion, look: Look) -> None:
    """An egg in a pan seen from above; fat bubbles and spits."""
    iron = look.pick([(52, 54, 60), (78, 44, 40), (44, 60, 76), (104, 108, 114)])
    sprite.polygon([(0.44, 0.4), (0.56, 0.28), (1.04, 0.82), (0.92, 0.94)], (140, 84, 46))
    sprite.ellipse((-0.12, -0.1), (0.86, 0.86), iron)
    sprite.ellipse((-0.12, -0.1), (0.73, 0.73), shaded(iron, 0.7), outline=False)
    sprite.ellipse((-0.3, -0.32), (0.3, 0.2), shaded(iron, 1.15), angle=-0.7, outline=False,
                   opacity=0.6)  # fmt: skip
    angle = np.linspace(0, 2 * np.pi, 40)
    quiver = 0.02 * np.sin(5 * angle + 14 * motion.time)
    radius = 0.48 + 0.05 * np.sin(3 * angle + 9 * look.choice) + 0.035 * np.sin(7 * angle) + quiver
    egg = np.stack([-0.12 + radius * np.cos(angle), -0.08 + radius * np.sin(angle)], axis=1)
    sprite.polygon(egg, WHITE)
    sprite.ellipse((-0.06, -0.1), (0.21, 0.2), (250, 178, 32))
    sprite.ellipse((-0.12, -0.17), (0.07, 0.05), (255, 232, 160), outline=False)
    places = np.random.default_rng(motion.beat)  # new bubbles with every spit of the pan
    for bubble in range(9):
        turn, reach = places.uniform(0, 6.28), places.uniform(0.5, 0.68)
        size = 0.03 + 0.04 * places.random()
        x, y = -0.12 + reach * np.cos(turn), -0.1 + reach * np.sin(turn)
        sprite.ellipse((x, y), (size, size), (250, 226, 150), outline=False)
        if bubble < 4:
            leap = 1.15 + 1.2 * motion.since
            sprite.ellipse((-0.12 + (x + 0.12) * leap, -0.1 + (y + 0.1) * leap), (0.035, 0.035),
                           (255, 244, 196), outline=False)  # fmt: skip


def shaded(colour: Colour, factor: float) -> Colour:
    """Return a colour made brighter or darker by `factor`."""
    red, green, blue = (min(255.0, channel * factor) for channel in colour)
    return red, green, blue
