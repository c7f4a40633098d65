"""Plan of a synthetic clip: visible and audible classes of each segment."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

# In a decoy one modality of the event class continues while the other one stops or changes to
# another class. A single modality cannot distinguish such a segment from the event.
DECOYS = ("unheard", "unseen", "other_sound", "other_picture")


class LabelledSpan(NamedTuple):
    """One event of a clip: class, first segment, and end (exclusive)."""

    label: str
    start: int
    end: int


@dataclass(frozen=True)
class ClipPlan:
    """Ground truth of one synthetic clip: visible and audible class of each segment.

    Args:
        visible: `[T]` class names, None without a visible object.
        sounding: `[T]` class names, None for background noise alone.
        bystander: `[T]` class names of a second object that is never audible; optional.
        off_screen: `[T]` class names of a second sound whose object is never visible; optional.
        second_event: `[T]` class names of a second, simultaneous event; optional.

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
        """All classes that are visible or audible in the clip."""
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
        """`[T]` class that is visible and audible, None for background."""
        return tuple(
            seen if seen == heard else None
            for seen, heard in zip(self.visible, self.sounding, strict=True)
        )

    @property
    def events(self) -> list[LabelledSpan]:
        """Runs of equal labels in order of time; those of a second event may overlap others."""
        spans = [LabelledSpan(*run) for run in (*runs(self.labels), *runs(self.second_event))]
        return sorted(spans, key=lambda span: (span.start, span.end))


def runs(values: Sequence[str | None]) -> list[tuple[str, int, int]]:
    """Returns `(value, start, end)` of each run of equal values that are not None.

    Args:
        values: `[T]` one value per segment.

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
    """Draws a plan with one event of `label` and decoys in the rest of the clip.

    Args:
        rng: random generator.
        label: class of the event.
        others: classes that may appear in decoys.
        seconds: length of the clip, T.
        shortest_event: shortest event in seconds; the longest fills the clip.
        background_clip_probability: share of clips without an event.
        decoy_probability: probability of a decoy in each stretch of background.

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
        # A decoy of the length of an event, so that one modality alone does not identify clips
        # without an event.
        fill(start, end, str(rng.choice(DECOYS)))
    else:
        fill(start, end, "event")
    for first, last in ((0, start), (end, seconds)):
        if last - first > 1 and rng.random() < 0.5:  # half of the long stretches have two decoys
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
    """Adds an object and a sound that do not change the events.

    Args:
        rng: random generator.
        plan: the plan.
        valid_decoys: function that returns the classes that make no event with a class.
        bystander_probability: probability of an object that is never audible.
        off_screen_probability: probability of a sound that is never visible.

    Returns:
        The plan with the distractors, each for at least half of the clip.
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
    """Adds an event of another class, which may overlap the others.

    Args:
        rng: random generator.
        plan: the plan.
        valid_decoys: function that returns the classes that make no event with a class.
        probability: probability of the event.
        shortest_event: shortest length in seconds; the longest fills the clip.

    Returns:
        The plan with the event, or unchanged if no class is possible.
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
