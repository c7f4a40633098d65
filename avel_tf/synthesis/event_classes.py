"""The table of synthetic event classes: to add one, draw it, sound it, and add a line here."""

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
    """One kind of event that can be both seen and heard.

    Args:
        name: the label, spelled as in the AVE dataset where AVE has the class.
        draw: draws one moment of the object.
        sound: makes so many whole seconds of its sound, something to be heard in each of them.
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

# Every machine gives every signal: five classes share a look, five share a sound, and neither the
# picture nor the sound names one of them alone.
MACHINE_CLASSES: dict[str, EventClass] = {
    f"{machine} {signal}": EventClass(f"{machine} {signal}", draw, sound)
    for machine, draw in MACHINES.items()
    for signal, sound in SIGNALS.items()
}

ALL_CLASSES: dict[str, EventClass] = EVENT_CLASSES | MACHINE_CLASSES


def valid_decoys(name: str, classes: Sequence[str]) -> list[str]:
    """Return the classes whose look and sound make no event with those of class `name`.

    A tram that is seen while a beeper is heard is a "Tram beeper", whatever a decoy meant by it;
    a tram that is seen while a dog is heard is nothing.

    Args:
        name: one of `ALL_CLASSES`.
        classes: names that count as events.

    Returns:
        Names out of `classes`, in their order.
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
