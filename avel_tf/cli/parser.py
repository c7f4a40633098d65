"""Argument parser that accepts file names beginning with a dash and suggests options."""

from __future__ import annotations

import argparse
import os
from typing import Any


class CommandParser(argparse.ArgumentParser):
    """Argument parser of one command.

    A word that begins with a dash and is no option is a file name if such a file exists or if it
    has the ending of a video: YouTube identifiers may begin with a dash, and shells expand `*` to
    bare names. Any other such word is an error, which suggests the most similar option and is
    reported before missing options.
    """

    def _parse_optional(self, arg_string: str) -> Any:
        # argparse distinguishes options from other words here; there is no public method. None:
        # not an option.
        if self._is_file(arg_string):
            return None
        found: Any = super()._parse_optional(arg_string)
        # A list of interpretations in Python 3.12, one in 3.11; its first entry is the option.
        reading = found[0] if isinstance(found, list) else found
        if reading is not None and reading[0] is None:
            from avel_tf.utils.text import did_you_mean

            word = arg_string.partition("=")[0]
            options = [name for name in self._option_string_actions if name.startswith("--")]
            self.error(f"there is no option {word}.{did_you_mean(word, options)}")
        return found

    def _is_file(self, word: str) -> bool:
        if not word.startswith("-") or word == "-" or word in self._option_string_actions:
            return False
        if word.startswith("--") and word.partition("=")[0] in self._option_string_actions:
            return False
        from avel_tf.video.video_files import is_video_name

        return os.path.lexists(word) or ("=" not in word and is_video_name(word))
