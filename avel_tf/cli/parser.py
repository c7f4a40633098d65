"""The command line of one command: file names that look like options, and options spelt wrong."""

from __future__ import annotations

import argparse
import os
from typing import Any


class CommandParser(argparse.ArgumentParser):
    """An argument parser for file names of any kind.

    A word that begins with a dash is a file where it is no option and such a file exists, or where
    it ends as a video does: identifiers of YouTube may begin with a dash, and a shell's `*` hands
    out names as they are. A word that is neither is refused with the option that it is most like,
    before anything is said about options that are missing.
    """

    def _parse_optional(self, arg_string: str) -> Any:
        # The one place where argparse decides between options and other words; it has no public
        # way to ask for it. None means: no option.
        if self._is_file(arg_string):
            return None
        found: Any = super()._parse_optional(arg_string)
        # Python 3.12 gives a list of readings, 3.11 a single one; the first entry is the option.
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
