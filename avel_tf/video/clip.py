"""Results of decoding: a clip of frames and audio on one clock, and the header of its file."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# Input rate of VGGish (https://tfhub.dev/google/vggish/1) and YAMNet, so no other rate is needed.
SAMPLE_RATE = 16_000


@dataclass(frozen=True)
class MediaInfo:
    """Header of a media file. Its values are declared, not verified by decoding.

    Args:
        path: The file; bytes that are not UTF-8 are surrogate escapes.
        container: FFmpeg's name of the container: `mov` (also mp4), `matroska` (also
            webm), `avi`, `mpeg`, `mpegts`, `flv`, `ogg` or `asf`.
        duration: Declared length in seconds; None if not declared.
        width: Width of a stored frame in pixels, before rotation.
        height: Height of a stored frame in pixels, before rotation.
        frame_rate: Declared mean number of frames per second; None if unknown.
        video_codec: Name such as `h264`.
        video_duration: Declared seconds of the video track; None if unknown.
        audio_codec: Name such as `aac`; None without an audio track. This and the following
            values describe the first audio track that is used.
        audio_duration: Declared seconds of the audio track; None if unknown or absent.
        sample_rate: Sampling rate in hertz as stored; None without an audio track.
        channels: Number of channels as stored; None without an audio track.
        rotation: Clockwise rotation in degrees that turns a stored frame upright: 0, 90, 180 or
            270. Decoding also applies mirroring, which is not part of this value.
        pixel_aspect: Width of a stored pixel divided by its height.
    """

    path: str
    container: str
    duration: float | None
    width: int
    height: int
    frame_rate: float | None
    video_codec: str
    video_duration: float | None
    audio_codec: str | None
    audio_duration: float | None
    sample_rate: int | None
    channels: int | None
    rotation: int = 0
    pixel_aspect: float = 1.0


@dataclass(frozen=True, eq=False)
class Clip:
    """T seconds of a file: F frames and 16,000 audio samples for each second.

    Args:
        frames: uint8 `[T, F, H, W, 3]`, RGB, upright.
        waveform: float32 `[T * 16000]`, mono, in [-1, 1].
        valid: bool `[T]`; False after the end of the file, if a longer clip was requested. Frames
            and waveform of such seconds are zeros.
        info: Header of the file.
        has_sound: False without an audio track that can be decoded; the waveform is silence then.
        problem: A sentence if the file ended early, was damaged or its audio failed, else None. It
            is set in the last block only.
        remark: A sentence about assumptions and choices that are no damage, else None: a track that
            begins late or ends early, mixed tracks, another audio track than the default one. It
            is set in the last block only.
        audio_track: Numbers of the audio tracks that were used, counted from 1; in the last block.
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
        """T, the number of seconds, including those that are not valid."""
        return len(self.valid)
