"""Small films for the media tests: every picture shows its number, every click has a known time."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

BITS = 8  # a picture shows its number in eight upright bars
WIDTH, HEIGHT = 128, 64
SIZE = (HEIGHT, WIDTH)
FAST = {
    "libx264": {"preset": "ultrafast"},
    "libx265": {"preset": "ultrafast", "x265-params": "log-level=none"},
    "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8"},
    "libsvtav1": {"preset": "12"},
}
TICKS = 90_000  # per second; the time stamps of the pictures are given in these


@contextlib.contextmanager
def film_writer(path: object, **options: Any) -> Iterator[av.container.OutputContainer]:
    """`av.open(path, "w")` that leaves the process its ordinary scheduling.

    Run by root, the AV1 encoder SVT-AV1 gives the process real-time priority and never takes it
    back. Children inherit it, and a busy one starves everything else on the machine.
    """
    policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        with av.open(str(path), "w", **options) as film:
            yield film
    finally:
        os.sched_setscheduler(0, policy, parameters)


def numbered(number: int) -> np.ndarray:
    """The picture that shows a number: uint8 `[H, W, 3]`."""
    bars = [255 * (number >> bit & 1) for bit in range(BITS)]
    row = np.repeat(np.array(bars, np.uint8), WIDTH // BITS)
    return np.broadcast_to(row[None, :, None], (HEIGHT, WIDTH, 3)).copy()


def numbers(frames: np.ndarray) -> list[int]:
    """The numbers that decoded pictures show, from `[T, F, H, W, 3]`."""
    flat = frames.reshape(-1, *frames.shape[2:]).mean(axis=(1, 3))  # [T*F, W]
    bars = flat.reshape(len(flat), BITS, -1).mean(axis=2) > 127  # [T*F, 8]
    return [int(sum(1 << bit for bit in range(BITS) if row[bit])) for row in bars]


def clicks(seconds: float, rate: int, at: tuple[float, ...] = (1.0,)) -> np.ndarray:
    """Silence with 4 ms of a loud 1 kHz tone at each of the given times: float32 `[n]`."""
    sound = np.zeros(round(seconds * rate), np.float32)
    burst = np.sin(2 * np.pi * 1000 * np.arange(round(0.004 * rate)) / rate)
    for time in at:
        start = round(time * rate)
        sound[start : start + len(burst)] = 0.8 * burst
    return sound


def tone(seconds: float, rate: int, hertz: float = 440.0, level: float = 0.5) -> np.ndarray:
    """A sine: float32 `[n]`."""
    time = np.arange(round(seconds * rate)) / rate
    return (level * np.sin(2 * np.pi * hertz * time)).astype(np.float32)


def onset(waveform: np.ndarray, after: float = 0.0, rate: int = 16_000) -> float:
    """Seconds at which the waveform first exceeds a third of its peak."""
    level = np.abs(waveform[round(after * rate) :])
    return after + float(np.argmax(level > level.max() / 3)) / rate


def write_film(
    path: Path | str,
    *,
    seconds: float = 2.0,
    rate: int = 25,
    times: list[int] | None = None,
    pictures: list[np.ndarray] | None = None,
    video_codec: str = "libx264",
    sound: np.ndarray | None = None,
    sound_rate: int = 48_000,
    layout: str = "mono",
    audio_codec: str = "aac",
    bit_rate: int | None = None,
    sound_start: float = 0.0,
    rotation: int | None = None,
    mirrored: bool = False,
    picture: bool = True,
    options: dict[str, str] | None = None,
    container: str | None = None,
    change: Callable[[av.Packet], av.Packet | None] | None = None,
    late_sound: bool = False,
) -> Path:
    """Writes a film whose pictures show their number.

    Args:
        path: Where to; the ending names the container.
        seconds: Length of the picture, when `times` is not given.
        rate: Pictures per second.
        times: Time stamps of the pictures in 1/90,000 s, instead of a constant rate.
        pictures: Pictures to use instead of the numbered ones.
        sound: float32 `[n]` or `[channels, n]`, or None for no audio track.
        bit_rate: Of the sound; some encoders have no default.
        sound_start: Seconds at which the sound begins.
        rotation: Degrees anticlockwise for the display matrix.
        mirrored: Whether the display matrix mirrors as well.
        picture: False leaves the video track out.
        options: For the muxer.
        container: FFmpeg's name of the muxer, where the ending does not tell.
        late_sound: Whether all sound is stored behind all pictures.
        change: Gets every packet and returns what is written in its place, or None.
    """
    step = TICKS // rate
    times = times if times is not None else [n * step for n in range(round(seconds * rate))]
    pictures = pictures or [numbered(n % (1 << BITS)) for n in range(len(times))]
    with film_writer(path, format=container, options=options or {}) as film:
        video = audio = None
        if picture:
            video = film.add_stream(video_codec, rate=rate, options=FAST.get(video_codec, {}))
            video.height, video.width = pictures[0].shape[:2]
            video.pix_fmt = "yuv420p"
            video.gop_size = 12
            video.codec_context.time_base = Fraction(1, TICKS)
            if video_codec in ("mpeg1video", "mpeg2video", "mpeg4"):
                video.codec_context.time_base = Fraction(1, rate)
                times = [round(t / step) for t in times]
            if rotation is not None:
                video.set_display_rotation(rotation, hflip=mirrored)
        if sound is not None:
            audio = film.add_stream(audio_codec, rate=sound_rate, layout=layout)
            if bit_rate is not None:
                audio.bit_rate = bit_rate
        packets = []
        if video is not None:
            for time, image in zip(times, pictures, strict=True):
                frame = av.VideoFrame.from_ndarray(image, "rgb24")
                frame.pts, frame.time_base = time, video.codec_context.time_base
                packets += video.encode(frame)
            packets += video.encode(None)
        if audio is not None:
            packets += _encode_sound(audio, sound, sound_rate, layout, sound_start)
        # The muxer brings the two into order, but gives up over ten seconds.
        if not late_sound:
            packets.sort(key=lambda packet: packet.dts * packet.time_base)
        for packet in packets:
            changed = change(packet) if change else packet
            if changed is not None:
                film.mux(changed)
    return Path(path)


def _encode_sound(
    audio: av.AudioStream, sound: np.ndarray, rate: int, layout: str, start: float
) -> list[av.Packet]:
    sound = np.atleast_2d(sound)  # [channels, n]
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(sound, np.float32), "fltp", layout)
    frame.sample_rate, frame.time_base = rate, Fraction(1, rate)
    frame.pts = round(start * rate)
    form = audio.codec_context.format.name
    converter = av.AudioResampler(form, layout, rate, frame_size=audio.codec_context.frame_size)
    packets = []
    for part in converter.resample(frame) + converter.resample(None):
        packets += audio.encode(part)
    return packets + audio.encode(None)
