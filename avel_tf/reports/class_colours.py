"""Colours of classes."""

from __future__ import annotations

from collections import Counter

# Okabe and Ito's palette for colour-blind readers (Color Universal Design, 2008) without black.
# Nobody can tell 28 colours apart, so a hue is used again with another texture: plain, then
# three kinds of stripes.
HUES = 7
TEXTURES = 4


class ClassColours:
    """Gives every class a hue and a texture; the most frequent ones are plain.

    Past 28 classes they are used again. Colour never carries the meaning alone: the name stands
    beside it.

    Args:
        seconds: How many seconds there are of each class.

    Example:
        >>> ClassColours(Counter({"Bark": 5, "Clock": 2})).css("Clock")
        'h2 t1'
    """

    def __init__(self, seconds: Counter[str]) -> None:
        self.names = sorted(seconds, key=lambda name: (-seconds[name], name))
        self._rank = {name: rank for rank, name in enumerate(self.names)}

    def number(self, name: str) -> int:
        """The class's place in the order of frequency, from 0."""
        return self._rank[name]

    def css(self, name: str) -> str:
        """The names of the style rules that draw the class."""
        rank = self._rank[name]
        return f"h{rank % HUES + 1} t{rank // HUES % TEXTURES + 1}"
