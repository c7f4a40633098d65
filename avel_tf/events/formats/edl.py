"""EDL: an edit decision list (CMX 3600) that cuts the events out of the video."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TextIO

from avel_tf.events.formats.text import label_text
from avel_tf.events.result import Result
from avel_tf.utils.text import one_line

# Results do not have the frame rate of the video. At any whole rate, events that start and end on
# a full second have the same timecode.
FRAMES_PER_SECOND = 25
# By convention, programmes start at hour one.
FIRST_FRAME = 3600 * FRAMES_PER_SECOND


def write_edl(results: Iterable[Result], file: TextIO) -> None:
    """Write a cut per event, one after the other; a title alone for a video without an event.

    The source times are those of the events in the video, to the frame.

    Args:
        results: One result.
        file: A text file.

    Reference:
        CMX 3600 edit decision list; OpenTimelineIO's adapter `cmx_3600`.
    """
    (result,) = results
    name = one_line(os.path.basename(result.video)) or "video"
    file.write(f"TITLE: {name}\nFCM: NON-DROP FRAME\n")
    record = FIRST_FRAME
    for number, event in enumerate(result.events, start=1):
        start = round(event.start * FRAMES_PER_SECOND)
        frames = max(round(event.end * FRAMES_PER_SECOND) - start, 1)
        times = (start, start + frames, record, record + frames)
        record += frames
        file.write(
            f"\n{number:03d}  AX       V     C        {' '.join(map(_timecode, times))}\n"
            f"* FROM CLIP NAME: {label_text(event.label)}\n"
            f"* SOURCE FILE: {name}\n"
            f"* COMMENT: SCORE {event.score:.2f}, {FRAMES_PER_SECOND} FRAMES PER SECOND ASSUMED\n"
        )


def _timecode(frames: int) -> str:
    seconds, frame = divmod(frames, FRAMES_PER_SECOND)
    minutes, second = divmod(seconds, 60)
    hours, minute = divmod(minutes, 60)
    # Timecode begins again after a day.
    return f"{hours % 24:02d}:{minute:02d}:{second:02d}:{frame:02d}"
