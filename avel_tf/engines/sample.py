"""Beginnings of the files of a run, with which engines are verified and calibrated."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice

from avel_tf.embeddings.recipe import Recipe
from avel_tf.video.clip import Clip
from avel_tf.video.decode import clip_of
from avel_tf.video.decode_settings import DecodeSettings
from avel_tf.video.errors import MediaError

logger = logging.getLogger(__name__)

# Number of frames to verify engines with, from up to FILES files among the first AMONG ones.
FRAMES = 16
FILES = 4
AMONG = 1_000


class SampleFiles:
    """Files of a run, of which the beginnings can be decoded.

    A worker process decodes them even if `media.isolated` is false. The run has recorded no attempt
    yet, so a file that crashes its decoder would otherwise end every run without a message.

    Args:
        paths: The files, of which only as many are opened as are needed.
        recipe: Frames per second and size of the frames.
        settings: Limits of decoding.
    """

    def __init__(
        self, paths: Sequence[str | os.PathLike], recipe: Recipe, settings: DecodeSettings
    ) -> None:
        self._paths = paths
        self._visual = recipe.visual
        self._settings = replace(settings, isolated=True)

    def __len__(self) -> int:
        return len(self._paths)

    def clips(self, seconds: int) -> Iterator[Clip]:
        """Decode the first files, one at a time; those that cannot be read are skipped.

        Args:
            seconds: T, length of the clips.

        Yields:
            Clips of the same length; none if no worker process can be started.
        """
        for path in islice(self._paths, AMONG):
            try:
                yield clip_of(self._visual.decode_request(path, self._settings, seconds))
            except MediaError:
                continue
            except RuntimeError as error:
                logger.warning("%s Engines are not verified.", error)
                return


def sample_clips(
    paths: Sequence[str | os.PathLike], recipe: Recipe, settings: DecodeSettings
) -> list[Clip]:
    """Decode the beginnings of a few files, about 16 frames in total.

    Returns:
        Up to four clips of equal length; none if no worker process can be started.
    """
    rate = recipe.visual.frames_per_second
    seconds = max(1, FRAMES // FILES // rate)
    clips: list[Clip] = []
    for clip in SampleFiles(paths, recipe, settings).clips(seconds):
        clips.append(clip)
        if sum(each.seconds for each in clips) * rate >= FRAMES:
            break
    return clips
