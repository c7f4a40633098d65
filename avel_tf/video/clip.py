"""What a media file becomes: pictures and sound on one clock."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from avel_tf.video.probe import MediaInfo

# VGGish and YAMNet both listen at 16 kHz (https://tfhub.dev/google/vggish/1), so nothing in the
# project ever needs another rate.
SAMPLE_RATE = 16_000


@dataclass(frozen=True, eq=False)
class Clip:
    """T seconds of a file: F pictures and 16,000 samples of sound for each.

    Args:
        frames: uint8 `[T, F, H, W, 3]`, RGB, upright.
        waveform: float32 `[T * 16000]`, mono, in [-1, 1].
        valid: bool `[T]`; False behind the end of the file, where a longer clip was asked for. The
            frames and the sound of such a second are zeros.
        info: What the header of the file says.
        has_sound: False when there is no sound track, or none that can be decoded; the waveform
            is silence then.
        problem: A sentence when the file ended early, was damaged or its sound failed; None when
            it was whole.
        remark: What was assumed or chosen, though nothing is wrong: where one track has nothing
            and the other goes on ("the sound begins at 2.0 s: silence was assumed before it");
            another sound track than the default one, several tracks mixed, a channel left out.
            It stands in the last block, as `problem`; None without.
        audio_track: The sound tracks that were used, counted from 1; in the last block.
    """

    frames: np.ndarray
    waveform: np.ndarray
    valid: np.ndarray
    info: MediaInfo
    has_sound: bool
    problem: str | None
    remark: str | None = None
    audio_track: tuple[int, ...] = ()

    @property
    def seconds(self) -> int:
        """T, the number of seconds in the clip, valid or not."""
        return len(self.valid)
