"""What a player shows and plays of a file: the expected values of the timing tests.

Nothing here knows how decoding works. A picture is on screen from its time until the next one; the
last one stays until the longer track has ended; before the first one the screen is black. Sound is
heard when it comes, and where there is none it is silent. The clock starts with the earlier track.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from tests.video.coded_clip import QUARTERS, Coded

# A picture that comes later than the sound by no more than this is on screen from the start: less
# than viewers notice (ITU-R BT.1359-1).
FIRST_PICTURE_TOLERANCE = Fraction(125, 1000)
# The part of a quarter of a second that `coded_clip.heard` reads.
_HEARD_FROM, _HEARD_TO = Fraction(5, 100), Fraction(20, 100)


@dataclass(frozen=True)
class Played:
    """What may be read back of a file.

    Attributes:
        seconds: How many seconds it has.
        shown: For every second and instant, the pictures that may be on screen; None is black.
        heard: For every second and quarter, the tones that may be heard; None is silence.
    """

    seconds: int
    shown: list[list[set[int | None]]]
    heard: list[list[set[int | None]]]

    @property
    def decided(self) -> float:
        """The share of instants and quarters of which only one answer is right."""
        every = [answer for second in self.shown + self.heard for answer in second]
        return sum(len(answer) == 1 for answer in every) / len(every)


def play(
    clip: Coded, frames_per_second: int, shift: Fraction, picture_shift: Fraction = Fraction(0)
) -> Played:
    """Derives what a player shows and plays.

    Args:
        clip: What the file is made of.
        frames_per_second: F; second s has its instants at s + (k + 0.5) / F.
        shift: Seconds by which the container rounds times, or encoders move one track against the
            other. Where that makes a difference both answers are right.
        picture_shift: The same for pictures, where more than `shift`.
    """
    picture_shift = max(shift, picture_shift)
    begins = [times[0] for times in (clip.pictures, [a for a, _ in clip.sounds]) if times]
    origin = min(begins)
    pictures = [time - origin for time in clip.pictures]
    sounds = [(a - origin, b - origin) for a, b in clip.sounds]
    end = max([pictures[-1] + Fraction(1, clip.rate), *(b for _, b in sounds)])
    seconds = max(1, int(end + Fraction(1, 2)))
    # Where a picture that comes a little late is taken to be there from the start.
    at_once = {pictures[0] + d <= FIRST_PICTURE_TOLERANCE for d in (-shift, Fraction(0), shift)}

    def at(time: Fraction) -> set[int | None]:
        numbers = [n for n, begin in enumerate(pictures) if begin <= time]
        if numbers:
            return {numbers[-1]}
        return {0 if there else None for there in at_once}

    def tone(time: Fraction) -> int | None:
        there = any(a <= time < b for a, b in sounds)
        return int(time + origin) if there else None

    shown, heard = [], []
    for second in range(seconds):
        for_each = range(frames_per_second)
        instants = [second + Fraction(2 * k + 1, 2 * frames_per_second) for k in for_each]
        shown.append([at(t - picture_shift) | at(t) | at(t + picture_shift) for t in instants])
        quarters = [second + Fraction(k, QUARTERS) for k in range(QUARTERS)]
        parts = [(q + _HEARD_FROM, q + _HEARD_TO) for q in quarters]
        heard.append([{tone(t) for t in (a - shift, a, b, b + shift)} for a, b in parts])
    return Played(seconds, shown, heard)


def differences(expected: Played, shown: list, heard: list) -> list[str]:
    """Where what was read back is not what a player shows and plays."""
    if len(shown) != expected.seconds:
        return [f"{len(shown)} seconds instead of {expected.seconds}"]
    found = []
    for what, right, read in (("picture", expected.shown, shown), ("tone", expected.heard, heard)):
        for second, (may, was) in enumerate(zip(right, read, strict=True)):
            for place, (answers, answer) in enumerate(zip(may, was, strict=True)):
                # Where a tone begins or ends in the midst of what is read, anything may be found.
                free = what == "tone" and len(answers) > 1
                if not free and answer not in answers:
                    found.append(f"second {second}, {what} {place}: {answer}, not {answers}")
    return found
