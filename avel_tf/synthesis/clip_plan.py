"""Plan of a synthetic clip: visible and audible classes of every second."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

# One sense of the event class goes on while the other one stops, or turns to another class.
# Seen alone, or heard alone, such a second cannot be told from a second of the event.
DECOYS = ("unheard", "unseen", "other_sound", "other_picture")


class LabelledSpan(NamedTuple):
    """One event of a clip: its class name, its first second and the second it ends at."""

    label: str
    start: int
    end: int


@dataclass(frozen=True)
class ClipPlan:
    """The truth of one synthetic clip: per second, the class in the picture and the class heard.

    Args:
        visible: `[T]` class names, None where no object of any class is in the picture.
        sounding: `[T]` class names, None where only background noise is heard.
        bystander: `[T]` class names of a second object whose sound is never heard; may be left out.
        off_screen: `[T]` class names of a second sound whose object is never seen; may be left out.
        second_event: `[T]` class names of a second object that is seen and heard, beside all else;
            may be left out.

    Example:
        >>> ClipPlan(visible=("Bark", "Bark", None), sounding=(None, "Bark", "Bark")).events
        [LabelledSpan(label='Bark', start=1, end=2)]
    """

    visible: tuple[str | None, ...]
    sounding: tuple[str | None, ...]
    bystander: tuple[str | None, ...] = ()
    off_screen: tuple[str | None, ...] = ()
    second_event: tuple[str | None, ...] = ()

    def __post_init__(self) -> None:
        if len(self.visible) != len(self.sounding):
            raise ValueError(
                "A plan needs as many seconds of picture as of sound. "
                f"Received: {len(self.visible)} of picture, {len(self.sounding)} of sound."
            )

    @property
    def cast(self) -> frozenset[str]:
        """The classes that are seen or heard at any time."""
        everyone = (
            *self.visible,
            *self.sounding,
            *self.bystander,
            *self.off_screen,
            *self.second_event,
        )
        return frozenset(name for name in everyone if name is not None)

    @property
    def labels(self) -> tuple[str | None, ...]:
        """`[T]` the class both seen and heard, None for background."""
        return tuple(
            seen if seen == heard else None
            for seen, heard in zip(self.visible, self.sounding, strict=True)
        )

    @property
    def events(self) -> list[LabelledSpan]:
        """The runs of equal labels, in order of time; those of a second event may overlap them."""
        spans = [LabelledSpan(*run) for run in (*runs(self.labels), *runs(self.second_event))]
        return sorted(spans, key=lambda span: (span.start, span.end))


def runs(values: Sequence[str | None]) -> list[tuple[str, int, int]]:
    """Return `(value, start, end)` for every run of equal values that are not None.

    Args:
        values: `[T]` one value per second.

    Returns:
        The runs in order of time; `end` is exclusive.
    """
    found: list[tuple[str, int, int]] = []
    start = 0
    for second in range(1, len(values) + 1):
        if second == len(values) or values[second] != values[start]:
            value = values[start]
            if value is not None:
                found.append((value, start, second))
            start = second
    return found


def plan_clip(
    rng: np.random.Generator,
    label: str,
    others: Sequence[str],
    *,
    seconds: int,
    shortest_event: int,
    background_clip_probability: float,
    decoy_probability: float,
) -> ClipPlan:
    """Draw a plan with one event of `label`, and decoys in what is left of the clip.

    Args:
        rng: source of every choice.
        label: the class of the event.
        others: the classes that decoys may borrow a sound or a picture from.
        seconds: length of the clip, T.
        shortest_event: shortest event in seconds; the longest fills the clip.
        background_clip_probability: share of clips in which the two senses never agree.
        decoy_probability: chance that a stretch of background holds a decoy, not nothing.

    Returns:
        The plan; its only event, if any, is of class `label`.
    """
    other = str(rng.choice(list(others)))
    visible: list[str | None] = [None] * seconds
    sounding: list[str | None] = [None] * seconds

    def fill(start: int, end: int, kind: str) -> None:
        seen, heard = {
            "event": (label, label),
            "unheard": (label, None),
            "unseen": (None, label),
            "other_sound": (label, other),
            "other_picture": (other, label),
            "nothing": (None, None),
        }[kind]
        visible[start:end] = [seen] * (end - start)
        sounding[start:end] = [heard] * (end - start)

    def decoy() -> str:
        return str(rng.choice(DECOYS)) if rng.random() < decoy_probability else "nothing"

    length = int(rng.integers(min(shortest_event, seconds), seconds + 1))
    start = int(rng.integers(0, seconds - length + 1))
    end = start + length
    if rng.random() < background_clip_probability:
        # What would have been the event keeps its length and loses one sense, so that such a
        # clip looks, or sounds, like any other.
        fill(start, end, str(rng.choice(DECOYS)))
    else:
        fill(start, end, "event")
    for first, last in ((0, start), (end, seconds)):
        if last - first > 1 and rng.random() < 0.5:  # half of the long stretches hold two kinds
            middle = int(rng.integers(first + 1, last))
            fill(first, middle, decoy())
            fill(middle, last, decoy())
        elif last > first:
            fill(first, last, decoy())
    return ClipPlan(tuple(visible), tuple(sounding))


def add_distractors(
    rng: np.random.Generator,
    plan: ClipPlan,
    valid_decoys: Callable[[str], Sequence[str]],
    *,
    bystander_probability: float,
    off_screen_probability: float,
) -> ClipPlan:
    """Add a second object and a second sound, which change nothing about the events.

    Args:
        rng: source of every choice.
        plan: what is seen and heard without them.
        valid_decoys: gives the classes that make no event together with one class.
        bystander_probability: chance of an object that is seen and never heard.
        off_screen_probability: chance of a sound that is heard and never seen.

    Returns:
        The plan with what was added, each for a stretch of half the clip or more.
    """
    seconds = len(plan.visible)
    for role, probability in (
        ("bystander", bystander_probability), ("off_screen", off_screen_probability)
    ):  # fmt: skip
        wanted = rng.random() < probability
        known = [set(valid_decoys(name)) for name in sorted(plan.cast)]
        free = sorted(set.intersection(*known)) if known else []
        if not wanted or not free:
            continue
        name = str(rng.choice(free))
        length = int(rng.integers((seconds + 1) // 2, seconds + 1))
        start = int(rng.integers(0, seconds - length + 1))
        track = [name if start <= second < start + length else None for second in range(seconds)]
        plan = replace(plan, **{role: tuple(track)})
    return plan


def add_second_event(
    rng: np.random.Generator,
    plan: ClipPlan,
    valid_decoys: Callable[[str], Sequence[str]],
    *,
    probability: float,
    shortest_event: int,
) -> ClipPlan:
    """Add an event of another class, which may overlap all that is there.

    Args:
        rng: source of every choice.
        plan: what is seen and heard without it.
        valid_decoys: gives the classes that make no event together with one class.
        probability: chance that there is one.
        shortest_event: its shortest length in seconds; the longest fills the clip.

    Returns:
        The plan with the event, as it was where no class is free.
    """
    seconds = len(plan.visible)
    wanted = rng.random() < probability
    known = [set(valid_decoys(name)) for name in sorted(plan.cast)]
    free = sorted(set.intersection(*known)) if known else []
    if not wanted or not free:
        return plan
    name = str(rng.choice(free))
    length = int(rng.integers(min(shortest_event, seconds), seconds + 1))
    start = int(rng.integers(0, seconds - length + 1))
    track = [name if start <= second < start + length else None for second in range(seconds)]
    return replace(plan, second_event=tuple(track))
