"""The instants at which pictures are taken, counted in whole numbers."""

from __future__ import annotations

import math
from fractions import Fraction


class SampleTimes:
    """The F instants of every second, seen from the clock of a track.

    Second s has its instants at s + (k + 0.5) / F. A picture that begins exactly at one is on
    screen then, so the comparison must be exact; and it is made for every picture of a film, so it
    is made in whole numbers, a tenth of the time that `Fraction` takes.

    Args:
        origin: Time zero of the file, in seconds on the track's clock.
        tick: Seconds per tick of the track's clock.
        frames_per_second: F.

    Example:
        >>> SampleTimes(Fraction(0), Fraction(1, 1000), 2).before(750)  # 0.25 s; 0.75 is not before
        1
    """

    def __init__(self, origin: Fraction, tick: Fraction, frames_per_second: int) -> None:
        # Instant n lies at (2n + 1) / 2F seconds. Times 2F and the common denominator, a time of
        # t ticks becomes t * scale - shift, and instant n becomes (2n + 1) * unit.
        self._unit = math.lcm(origin.denominator, tick.denominator)
        self._scale = int(2 * frames_per_second * tick * self._unit)
        self._shift = int(2 * frames_per_second * origin * self._unit)

    def before(self, ticks: int | Fraction) -> int:
        """Number of sample times before a time."""
        # The count is the smallest n >= 0 with (2n + 1) * unit >= time.
        time = ticks * self._scale - self._shift
        return max(0, -((self._unit - time) // (2 * self._unit)))
