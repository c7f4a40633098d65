"""The table of synthetic event classes: to add one, draw it, sound it, and add a line here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from avel_tf.media import objects, sounds
from avel_tf.media.objects import Look, Motion
from avel_tf.media.sounds import Sound
from avel_tf.media.sprite import Sprite


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
