"""Table of synthetic event classes: each has a drawing and a sound."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from avel_tf.synthesis import objects, sounds
from avel_tf.synthesis.machines import MACHINES
from avel_tf.synthesis.objects import Look, Motion
from avel_tf.synthesis.signals import SIGNALS
from avel_tf.synthesis.sounds import Sound
from avel_tf.synthesis.sprite import Sprite


@dataclass(frozen=True)
class EventClass:
    """Event class with its object and its sound.

    Args:
        name: label, as in AVE if AVE has the class.
        draw: function that draws the object at one moment.
        sound: function that makes a number of seconds of its sound, audible in each second.
    """

    name: str
    draw: Callable[[Sprite, Motion, Look], None]
    sound: Callable[[np.random.Generator, int], Sound]


EVENT_CLASSES: dict[str, EventClass] = {
    event_class.name: event_class
    for event_class in (
        EventClass("Church bell", objects.church_bell, sounds.church_bell),
        EventClass("Bark", objects.bark, sounds.bark),
        EventClass("Helicopter", objects.helicopter, sounds.helicopter),
        EventClass("Clock", objects.clock, sounds.clock),
        EventClass("Acoustic guitar", objects.acoustic_guitar, sounds.acoustic_guitar),
        EventClass("Train horn", objects.train_horn, sounds.train_horn),
        EventClass("Baby cry, infant cry", objects.baby_cry, sounds.baby_cry),
        EventClass("Race car, auto racing", objects.race_car, sounds.race_car),
        EventClass("Accordion", objects.accordion, sounds.accordion),
        EventClass("Frying (food)", objects.frying, sounds.frying),
    )
}

# Every machine with every signal: five classes share an object, five share a sound, and only both
# together identify a class.
MACHINE_CLASSES: dict[str, EventClass] = {
    f"{machine} {signal}": EventClass(f"{machine} {signal}", draw, sound)
    for machine, draw in MACHINES.items()
    for signal, sound in SIGNALS.items()
}

ALL_CLASSES: dict[str, EventClass] = EVENT_CLASSES | MACHINE_CLASSES


def valid_decoys(name: str, classes: Sequence[str]) -> list[str]:
    """Returns the classes that can be in a decoy together with class `name`.

    A visible tram with an audible beeper is the event "Tram beeper" and no decoy; a visible tram
    with an audible dog is no event.

    Args:
        name: one of `ALL_CLASSES`.
        classes: names of the event classes.

    Returns:
        Names from `classes`, in their order.
    """
    events = {(ALL_CLASSES[each].draw, ALL_CLASSES[each].sound) for each in classes}
    own = ALL_CLASSES[name]
    return [
        other
        for other in classes
        if other != name
        and (own.draw, ALL_CLASSES[other].sound) not in events
        and (ALL_CLASSES[other].draw, own.sound) not in events
    ]
