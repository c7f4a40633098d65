"""Fonts for text in images, for names in any script."""

from __future__ import annotations

import logging
from functools import cache

from PIL import ImageFont

from avel_tf.utils.text import one_line

_log = logging.getLogger(__name__)


def font_and_text(text: str, size: int) -> tuple[ImageFont.FreeTypeFont, str]:
    """Font that has the letters of a text, and the text in one line.

    It is DejaVu Sans, which Matplotlib includes, or else the first font of this machine that has
    all letters. If there is none, missing letters are escaped, as in `\\u72ac`.

    Args:
        text: The text.
        size: Height of the font in pixels.
    """
    text = one_line(text)
    letters = {ord(letter) for letter in text}
    usual = _usual_font()
    if letters <= _letters_of(usual):
        return _font(usual, size), text
    for file in _system_fonts():
        if letters <= _letters_of(file):
            return _font(file, size), text
    escaped = (
        letter if ord(letter) in _letters_of(usual) else ascii(letter)[1:-1] for letter in text
    )
    return _font(usual, size), "".join(escaped)


@cache
def _font(file: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(file, size)


@cache
def _usual_font() -> str:
    from matplotlib import get_data_path

    return f"{get_data_path()}/fonts/ttf/DejaVuSans.ttf"


@cache
def _system_fonts() -> tuple[str, ...]:
    from matplotlib.font_manager import findSystemFonts

    return tuple(sorted(findSystemFonts()))


@cache
def _letters_of(file: str) -> frozenset[int]:
    """Code points that a font has."""
    from matplotlib.ft2font import FT2Font

    try:
        return frozenset(FT2Font(file).get_charmap())
    except (OSError, RuntimeError) as error:
        _log.debug("the font %s is left out: %s", file, error)
        return frozenset()
