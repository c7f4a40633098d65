"""Real pictures on which engines are proven."""

from __future__ import annotations

import itertools
import logging
import os
from collections.abc import Iterable
from dataclasses import replace

from avel_tf.embeddings.recipe import Recipe
from avel_tf.video.clip import Clip
from avel_tf.video.decode import clip_of
from avel_tf.video.decode_settings import DecodeSettings
from avel_tf.video.errors import MediaError

logger = logging.getLogger(__name__)

# Pictures in all, of up to so many files, looked for among the first ones.
PICTURES = 16
FILES = 4
AMONG = 1_000


def sample_clips(
    paths: Iterable[str | os.PathLike], recipe: Recipe, settings: DecodeSettings
) -> list[Clip]:
    """The beginnings of a few files, together some 16 pictures.

    They are decoded in a child process, also where `media.isolated` is false: no attempt has been
    noted yet, so a file that kills its reader would end every run here, and none would learn why.

    Args:
        paths: Files; what cannot be read is passed over.
        recipe: F and the size of the pictures.
        settings: Limits of the decoder.

    Returns:
        Up to four clips of equal length; none where no child process can be started.
    """
    visual = recipe.visual
    settings = replace(settings, isolated=True)
    seconds = max(1, PICTURES // FILES // visual.frames_per_second)
    clips: list[Clip] = []
    for path in itertools.islice(paths, AMONG):
        if sum(clip.seconds for clip in clips) * visual.frames_per_second >= PICTURES:
            break
        try:
            clip = clip_of(visual.decode_request(path, settings, seconds))
        except MediaError:
            continue
        except RuntimeError as error:
            logger.warning("%s No engine is proven.", error)
            return []
        clips.append(clip)
    return clips
