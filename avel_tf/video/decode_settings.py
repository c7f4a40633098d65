"""Settings of decoding: limits, codecs and isolation."""

from __future__ import annotations

from pydantic import Field, model_validator

from avel_tf.utils.settings import Settings
from avel_tf.utils.text import did_you_mean

# Codecs that phones, cameras, browsers, editors and old archives use.
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


class DecodeSettings(Settings, section="media"):
    """Limits and options of decoding a file.

    The pixel limit is Mastodon's limit for uploads (`MAX_VIDEO_MATRIX_LIMIT` in its
    `media_attachment.rb`). Its limits on size (99 MB), frames (36,000) and frame rate (120) are
    meant for web uploads and would refuse a feature film or a phone's slow motion, so these limits
    are chosen for archives. Time and memory are limited only in worker processes.
    """

    # 3840 x 2160, Mastodon.
    max_pixels: int = Field(default=8_294_400, gt=0, description="Width x height of a frame.")
    # Slow motion of a phone has 240, give or take its clock.
    max_frame_rate: float = Field(
        default=300.0,
        gt=0,
        allow_inf_nan=True,
        description="Average frames per second, as counted. The declaration in the header is not "
        "used.",
    )
    # 4 h: an E-240 video tape, two feature films.
    max_seconds: float = Field(
        default=14_400.0,
        gt=0,
        allow_inf_nan=True,
        description="Declared duration, and largest time stamp of a decoded frame.",
    )
    # 4 h at 30/s are 432,000, and so are 2 h at 60/s.
    max_frames: int = Field(
        default=500_000, gt=0, description="Frames in the file, declared or counted."
    )
    # A Blu-ray disc of two layers.
    max_file_bytes: int = Field(default=50_000_000_000, gt=0, description="Size of the file.")
    # 4 h of 1080p at eight times its pace.
    max_wall_seconds: float = Field(
        default=1_800.0,
        gt=0,
        allow_inf_nan=True,
        description="Decoding time of a file, without the time that the consumer takes.",
    )
    # 10 s of 2160p60 AV1 took 40 s of one core.
    max_stall_seconds: float = Field(
        default=120.0,
        gt=0,
        allow_inf_nan=True,
        description="Time until the next block of a file is decoded.",
    )
    # 2160p, 10 bits, 16 threads: 16 + 16 frames of 25 MB, and as much again.
    max_memory_mb: int = Field(
        default=2_048,
        gt=0,
        description="Memory for decoding one file, in units of 2^20 bytes.",
    )
    isolated: bool = Field(
        default=True,
        description="Decode in worker processes. If a file crashes or blocks its decoder, only "
        "that file fails.",
    )
    codecs: tuple[str, ...] = Field(
        default=PICTURE_CODECS + SOUND_CODECS,
        description="FFmpeg's names of the video and audio codecs that may be decoded. A decoder "
        "that is not listed cannot be attacked by a file.",
    )
    follow_links: bool = Field(default=False, description="Open symbolic links.")
    every_picture: bool = Field(
        default=False,
        description="Also decode frames that are neither sampled nor referenced by a sampled "
        "frame. The clip is the same, but damage in them is reported.",
    )
    audio_track: int = Field(
        default=0,
        ge=0,
        description="Audio track, counted from 1. 0: chosen by the rules in "
        "docs/reference/media.md.",
    )
    threads: int = Field(
        default=0,
        ge=0,
        description="Decoder threads of a file. 0: one per processor, shared by the files that "
        "are decoded at the same time.",
        json_schema_extra={"resource_only": True},
    )

    @model_validator(mode="after")
    def _check_codecs(self) -> DecodeSettings:
        unknown = [each for each in self.codecs if each not in PICTURE_CODECS + SOUND_CODECS]
        if unknown:
            # Importing FFmpeg takes time, so the usual names are checked without it.
            from avel_tf.video.codecs import decoders

            known = decoders()
            for name in unknown:
                if name not in known:
                    raise ValueError(
                        f"media.codecs contains {name!r}, which is no decoder of the installed "
                        f"FFmpeg.{did_you_mean(name, known)}"
                    )
        return self
