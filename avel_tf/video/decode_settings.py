"""Limits and choices of opening and decoding."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, fields

# What phones, cameras, browsers, editors and old archives put into the containers that are read.
PICTURE_CODECS = (
    "h264", "hevc", "av1", "vp9", "vp8", "mpeg4", "mpeg2video", "mpeg1video", "h263", "flv1",
    "msmpeg4v2", "msmpeg4v3", "mjpeg", "prores", "dnxhd", "dvvideo", "vc1", "theora",
    "wmv1", "wmv2", "wmv3",
)  # fmt: skip
SOUND_CODECS = (
    "aac", "aac_latm", "mp3", "mp2", "mp1", "opus", "vorbis", "flac", "alac", "ac3", "eac3", "dts",
    "amr_nb", "amr_wb", "speex", "wmav1", "wmav2",
    "adpcm_ms", "adpcm_ima_wav", "adpcm_ima_qt", "adpcm_swf",
    "pcm_u8", "pcm_s8", "pcm_s16le", "pcm_s16be", "pcm_s24le", "pcm_s24be", "pcm_s32le",
    "pcm_s32be", "pcm_f32le", "pcm_f32be", "pcm_f64le", "pcm_f64be", "pcm_mulaw", "pcm_alaw",
    "pcm_bluray", "pcm_dvd",
)  # fmt: skip


@dataclass(frozen=True)
class DecodeSettings:
    """Limits and options of decoding a file.

    The pixel limit is the one that Mastodon has long put on uploads (`MAX_VIDEO_MATRIX_LIMIT` in
    its `media_attachment.rb`). Its limits on size (99 MB), frames (36,000) and frame rate (120) are
    meant for web uploads and would turn away a film or a phone's slow motion, so they are set here
    by what an archive holds. Time and memory are limited only where decoding
    runs in child processes.

    Args:
        isolated: Whether files are decoded in child processes (`IsolatedDecoder`), so that one
            that crashes or hangs its decoder costs nothing but itself.
        max_pixels: Width x height of a stored picture.
        max_frame_rate: Pictures per second of the film, on average, as counted; what the header
            declares is not believed.
        max_seconds: Declared length, and the time that any decoded picture may carry.
        max_frames: Pictures in the file, declared or met.
        max_file_bytes: Size of the file.
        max_wall_seconds: Time spent on one file; waiting for whoever takes the seconds is free.
        max_stall_seconds: Time spent until the next block of a file is there.
        max_memory_mb: Megabytes (2**20 bytes) that decoding one file may take.
        codecs: Formats of picture and sound that are decoded, by FFmpeg's names for them. Every
            decoder left out is one that a file cannot attack.
        follow_links: Whether a symbolic link may be opened.
        every_picture: Whether pictures that no second shows, and that no other picture needs, are
            decoded nevertheless. The clip is the same; damage in them is counted, too.
        audio_track: The audio track to use, counted from 1; 0 chooses (docs/reference/media.md).
        threads: Decoder threads of a file; 0 means one per core, shared with the files that are
            decoded at the same time.

    Raises:
        ValueError: A limit is not a positive number.
    """

    max_pixels: int = 8_294_400  # 3840 x 2160, Mastodon
    max_frame_rate: float = 300.0  # slow motion of a phone has 240, give or take its clock
    max_seconds: float = 14_400.0  # 4 h: an E-240 video tape, two feature films
    max_frames: int = 500_000  # 4 h at 30/s are 432,000, and so are 2 h at 60/s
    max_file_bytes: int = 50_000_000_000  # a Blu-ray disc of two layers
    max_wall_seconds: float = 1_800.0  # 4 h of 1080p at eight times its pace
    max_stall_seconds: float = 120.0  # 10 s of 2160p60 AV1 took 40 s of one core
    max_memory_mb: int = 2_048  # 2160p, 10 bits, 16 threads: 16 + 16 pictures of 25 MB, and as much
    isolated: bool = True
    codecs: tuple[str, ...] = PICTURE_CODECS + SOUND_CODECS
    follow_links: bool = False
    every_picture: bool = False
    audio_track: int = 0
    threads: int = 0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name.startswith("max_") and not value > 0:
                raise ValueError(f"media.{field.name} must be above 0. Received: {value!r}.")
        if self.audio_track < 0:
            raise ValueError(
                "media.audio_track must be 0 (choose) or the number of a track, counted from 1. "
                f"Received: {self.audio_track!r}."
            )
        if self.threads < 0:
            raise ValueError(
                f"media.threads must be 0 (one per core) or more. Received: {self.threads!r}."
            )
        unknown = [c for c in self.codecs if c not in PICTURE_CODECS + SOUND_CODECS]
        # Checked against FFmpeg itself only where the usual ones do not hold the name: the import
        # takes time, and settings are made by commands that decode nothing.
        if unknown:
            _check_codecs(unknown)


def _check_codecs(names: list[str]) -> None:
    from avel_tf.video.codecs import decoders

    known = decoders()
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            meant = f" Did you mean {near[0]!r}?" if near else ""
            raise ValueError(
                f"media.codecs holds {name!r}, for which there is no decoder here.{meant}"
            )
