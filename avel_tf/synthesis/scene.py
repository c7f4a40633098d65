"""Scene of a synthetic clip: frames and audio from its plan."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from avel_tf.synthesis.backdrops import draw_backdrop
from avel_tf.synthesis.clip_plan import ClipPlan, runs
from avel_tf.synthesis.event_classes import ALL_CLASSES, EventClass
from avel_tf.synthesis.objects import Look, Motion
from avel_tf.synthesis.signals import music
from avel_tf.synthesis.sounds import SAMPLE_RATE, Sound, coloured_noise
from avel_tf.synthesis.sprite import REACH, Sprite

Image = NDArray[np.uint8]
_ENVELOPE = SAMPLE_RATE // 20  # 50 ms, the pace of an object's motion
_FADE_SECONDS = 0.15  # fade of objects, one or two frames
_GATE = SAMPLE_RATE // 50  # 20 ms fade, so that sounds start and stop without a click
_SHADOW = 0.35
_GRAINS = 3  # images of camera noise, used in turn
_OFF_SCREEN = 0.5  # -6 dB, twice the distance


@dataclass(frozen=True)
class _Actor:
    """An event class as it appears in one clip."""

    event_class: EventClass
    sound: Sound
    envelope: NDArray[np.float64]
    gain: float
    look: Look
    side: int
    place: tuple[float, float]
    tilt: float
    mirrored: bool

    def motion(self, time: float) -> Motion:
        beat = int(np.searchsorted(self.sound.onsets, time, side="right"))
        since = time - self.sound.onsets[beat - 1] if beat else time + 1.0
        block = min(int(time * SAMPLE_RATE / _ENVELOPE), self.envelope.size - 1)
        return Motion(time, float(self.envelope[block]), since, beat)


class Scene:
    """Backdrop, objects and sounds of one clip.

    A visible object moves to its sound even if the sound is not audible, so that motion does not
    reveal a decoy.

    Args:
        plan: visible and audible classes of each segment.
        seed: numbers that identify the clip; equal numbers give equal clips.
        width: width of the frames in pixels.
        height: height of the frames in pixels.
        frame_rate: frames per second.
        object_height: smallest and largest height of an object, relative to the frame.
        loudness: lowest and highest level of an event, dB relative to full scale.
        signal_to_noise: lowest and highest ratio of event to background noise, dB.
        picture_noise: least and most camera noise, standard deviation in grey levels of 255.
        occlusion: smallest and largest share of the object's width hidden by a pillar.
        music_probability: probability of background music, as loud as the noise may be.
    """

    def __init__(
        self,
        plan: ClipPlan,
        seed: Sequence[int],
        *,
        width: int,
        height: int,
        frame_rate: float,
        object_height: tuple[float, float],
        loudness: tuple[float, float],
        signal_to_noise: tuple[float, float],
        picture_noise: tuple[float, float],
        occlusion: tuple[float, float] = (0.0, 0.0),
        music_probability: float = 0.0,
    ) -> None:
        self._plan = plan
        self._size = (width, height)
        self._frame_rate = frame_rate
        self._seconds = len(plan.visible)
        place = np.random.default_rng([*seed, 1])
        self._backdrop = draw_backdrop(place, width, height)
        spread = place.uniform(*picture_noise)
        self._grains = [
            place.normal(0, spread, (height, width, 1)).astype(np.float32) for _ in range(_GRAINS)
        ]
        room = np.random.default_rng([*seed, 2])
        decibels = room.uniform(*loudness)
        self._noise = coloured_noise(
            room, self._seconds * SAMPLE_RATE, exponent=float(room.choice([0, 0.5, 1, 1.5, 2]))
        ) * 10 ** ((decibels - room.uniform(*signal_to_noise)) / 20)
        self._actors: dict[str, _Actor] = {}
        for number, (name, event_class) in enumerate(ALL_CLASSES.items()):
            if name in plan.cast:
                rng = np.random.default_rng([*seed, 3 + number])
                self._actors[name] = self._cast(rng, event_class, object_height, decibels)
        # A separate generator, so that occlusion changes no other random choice.
        obstacles = np.random.default_rng([*seed, 3 + len(ALL_CLASSES)])
        self._pillar = self._make_pillar(obstacles, occlusion)
        if obstacles.random() < music_probability:
            below = obstacles.uniform(*signal_to_noise)
            tune = music(obstacles, self._seconds) / 0.2  # `Sound` is levelled to 0.2
            self._noise = self._noise + tune * 10 ** ((decibels - below) / 20)

    def frames(self, visible: Sequence[str | None] | None = None) -> Iterator[Image]:
        """Yields the frames of the clip, uint8 `[H,W,3]` RGB.

        Args:
            visible: `[T]` visible classes in place of the plan's, from the classes of the plan.
        """
        shown = (
            runs(self._plan.bystander)
            + runs(self._plan.second_event)
            + runs(self._plan.visible if visible is None else visible)
        )
        for number in range(round(self._seconds * self._frame_rate)):
            time = number / self._frame_rate
            picture = self._backdrop.at(time, *self._size).astype(np.float32)  # [H, W, 3]
            for name, start, end in shown:
                if start <= time < end:
                    self._draw(picture, self._actors[name], time, self._presence(time, start, end))
            for left, right, column in self._pillar:
                picture[:, left:right] = column
            self._backdrop.cover(picture, time)
            picture += self._grains[number % _GRAINS]
            yield np.clip(picture, 0, 255).astype(np.uint8)

    def waveform(self, sounding: Sequence[str | None] | None = None) -> NDArray[np.float32]:
        """Returns the waveform of the clip, float32 `[T*16000]` in (-1, 1).

        Args:
            sounding: `[T]` audible classes in place of the plan's, from the classes of the plan.
        """
        mixture = self._noise.copy()
        ramp = np.sin(np.linspace(0, np.pi / 2, _GATE)) ** 2
        heard = [
            (1.0, *run) for run in runs(self._plan.sounding if sounding is None else sounding)
        ] + [(_OFF_SCREEN, *run) for run in runs(self._plan.off_screen)]
        heard += [(1.0, *run) for run in runs(self._plan.second_event)]
        for loudness, name, start, end in heard:
            actor = self._actors[name]
            span = slice(start * SAMPLE_RATE, end * SAMPLE_RATE)
            part = loudness * actor.gain * actor.sound.waveform[span]
            part[:_GATE] *= ramp
            part[-_GATE:] *= ramp[::-1]
            mixture[span] += part
        return np.tanh(mixture).astype(np.float32)  # soft limiter

    def _cast(
        self,
        rng: np.random.Generator,
        event_class: EventClass,
        object_height: tuple[float, float],
        decibels: float,
    ) -> _Actor:
        sound = event_class.sound(rng, self._seconds)
        blocks = sound.waveform[: sound.waveform.size // _ENVELOPE * _ENVELOPE]
        envelope = np.sqrt(np.mean(blocks.reshape(-1, _ENVELOPE).astype(float) ** 2, axis=1))
        width, height = self._size
        side = round(rng.uniform(*object_height) * height * REACH)
        overlap = 0.38 * side  # distance of the centre from the edges: up to 12 % may be cut off
        return _Actor(
            event_class=event_class,
            sound=sound,
            envelope=np.minimum(1.0, envelope / np.quantile(envelope, 0.95)),
            gain=10 ** ((decibels + rng.uniform(-2, 2)) / 20) / 0.2,  # `Sound` is levelled to 0.2
            look=Look(choice=float(rng.random()), shade=float(rng.uniform(0.85, 1.12))),
            side=side,
            place=(
                float(rng.uniform(overlap, width - overlap)),
                float(rng.uniform(overlap, height - overlap)),
            ),
            tilt=float(rng.uniform(-0.14, 0.14)),
            mirrored=bool(rng.random() < 0.5),
        )

    def _make_pillar(
        self, rng: np.random.Generator, occlusion: tuple[float, float]
    ) -> list[tuple[int, int, NDArray[np.float32]]]:
        """Left edge, right edge and colours of the pillar before an object, if there is one."""
        share, from_left, hue = rng.uniform(*occlusion), rng.random(), rng.uniform(60, 190, 3)
        seen = [name for name in self._plan.visible if name is not None]
        if not share or not seen:
            return []
        actor = self._actors[
            max(dict.fromkeys(seen), key=seen.count)
        ]  # the one that is visible longest
        body = actor.side / REACH
        left = round(actor.place[0] - body / 2 + from_left * (1 - share) * body)
        right = left + max(1, round(share * body))
        light = np.cos(np.linspace(-1.2, 1.0, right - left))[
            :, None
        ]  # [w, 1], shading of a cylinder
        kept = slice(max(0, -left), max(0, self._size[0] - left))
        row = (hue * (0.5 + 0.5 * light)).astype(np.float32)[kept]  # [w, 3]
        return [(max(0, left), max(0, left) + len(row), row)]

    def _presence(self, time: float, start: int, end: int) -> float:
        """Opacity of an object that is visible from `start` to `end`."""
        step = 1 / self._frame_rate
        coming = 1.0 if start == 0 else (time - start + step) / _FADE_SECONDS
        going = 1.0 if end == self._seconds else (end - time) / _FADE_SECONDS
        return min(1.0, coming, going)

    def _draw(
        self, picture: NDArray[np.float32], actor: _Actor, time: float, presence: float
    ) -> None:
        sprite = Sprite(actor.side, tilt=actor.tilt, mirrored=actor.mirrored)
        actor.event_class.draw(sprite, actor.motion(time), actor.look)
        colour, opacity = sprite.picture()  # [h, w, 3], [h, w, 1]
        drift = 0.02 * actor.side
        left = round(actor.place[0] - actor.side / 2 + drift * np.sin(1.1 * time))
        top = round(actor.place[1] - actor.side / 2 + drift * np.cos(0.9 * time))
        blurred = cv2.GaussianBlur(opacity, (0, 0), 0.03 * actor.side)  # [h, w]
        fall = max(1, actor.side // 25)
        shadow = np.zeros_like(blurred)
        shadow[fall:, fall:] = blurred[:-fall, :-fall]
        shade = presence * _SHADOW * shadow[..., None]  # [h, w, 1]

        width, height = self._size
        rows = slice(max(0, top), min(height, top + actor.side))
        columns = slice(max(0, left), min(width, left + actor.side))
        target = picture[rows, columns]
        own = (
            slice(rows.start - top, rows.stop - top),
            slice(columns.start - left, columns.stop - left),
        )
        target *= (1 - shade[own]) * (1 - presence * opacity[own])
        target += presence * colour[own]
