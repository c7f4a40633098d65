"""Clips that tell which second is which: every picture shows its number, every second has a tone.

`write` muxes such a clip in any odd way, `shown` and `heard` read it back after decoding, and
`tests/video/player.py` says what should have been read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

ROWS, COLUMNS, CELL = 2, 4, (24, 16)  # a picture is a table of bits
SIZE = (ROWS * CELL[0], COLUMNS * CELL[1])  # (48, 64)
MOST_PICTURES = (1 << ROWS * COLUMNS) - 1  # 0 is a black screen
TICKS = 90_000  # per second
SAMPLE_RATE = 16_000  # what decoding gives
QUARTERS = 4  # of a second, each of which is heard on its own
_ENCODERS = {
    "libx264": {"preset": "ultrafast", "g": "8", "threads": "1"},
    "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8", "threads": "1"},
    "libvpx": {"deadline": "realtime", "cpu-used": "8"},
}
# These count pictures and know no finer clock.
_COUNTING = ("mpeg1video", "mpeg2video", "mpeg4", "wmv2")
# Rates and bit rates without which these do not begin.
_SOUND_RATES = {"flac": SAMPLE_RATE, "pcm_s16le": SAMPLE_RATE, "amr_nb": 8_000}
_BIT_RATES = {"wmav2": 64_000, "amr_nb": 12_200}

Change = Callable[[av.Packet], av.Packet | None]


@dataclass(frozen=True)
class Coded:
    """What goes into a file, in seconds on its own clock.

    Args:
        pictures: When each picture comes; empty for no video track.
        rate: Nominal pictures per second; the last picture stays for 1 / rate.
        sounds: Beginning and end of each stretch of sound; empty for no audio track.
        picture_codec: An encoder's name.
        sound_codec: An encoder's name.
        picture_options: For the encoder.
        cut: Seconds that an edit list leaves out at the beginning; times count from behind it.
    """

    pictures: tuple[Fraction, ...]
    rate: int = 5
    sounds: tuple[tuple[Fraction, Fraction], ...] = ()
    picture_codec: str = "libx264"
    sound_codec: str = "aac"
    picture_options: dict[str, str] = field(default_factory=dict)
    cut: Fraction = Fraction(0)


def steady(begin: float, end: float, rate: int = 5) -> tuple[Fraction, ...]:
    """Times of pictures that follow one another at a constant rate, from `begin` to `end`."""
    first, last = Fraction(begin).limit_denominator(1000), Fraction(end).limit_denominator(1000)
    return tuple(first + Fraction(n, rate) for n in range(round((last - first) * rate)))


def hertz(second: int) -> float:
    """The tone of a second."""
    return 400.0 + 150.0 * second


def write(
    path: Path,
    clip: Coded,
    *,
    container: str | None = None,
    options: dict[str, str] | None = None,
    change: Change = lambda packet: packet,
    interleaved: bool = True,
) -> Path:
    """Muxes a clip.

    Args:
        path: Where to; the ending names the container.
        clip: What goes into it.
        container: FFmpeg's name of the muxer, where the ending does not tell.
        options: For the muxer.
        change: Gets every packet; what it returns is written in its place.
        interleaved: False stores all sound before all pictures.
    """
    assert len(clip.pictures) <= MOST_PICTURES
    with av.open(str(path), "w", format=container, options=options or {}) as out:
        packets = []
        if clip.pictures:
            packets += _encode_pictures(out, clip)
        if clip.sounds:
            packets += _encode_sound(out, clip)
        if interleaved:
            packets.sort(key=lambda packet: packet.dts * packet.time_base)
        else:
            packets.sort(key=lambda packet: packet.stream.type)
        for packet in packets:
            if clip.cut:
                shift = round(clip.cut / packet.time_base)
                packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
            changed = change(packet)
            if changed is not None:
                out.mux(changed)
    return path


def copy(source: Path, target: Path, options: dict[str, str] | None = None) -> Path:
    """Copies the tracks of a file into another container, as `ffmpeg -c copy` does."""
    with av.open(str(source)) as film, av.open(str(target), "w", options=options or {}) as out:
        tracks = {s.index: out.add_stream_from_template(s) for s in film.streams}
        for packet in film.demux():
            if packet.size:
                packet.stream = tracks[packet.stream.index]
                out.mux(packet)
    return target


def _encode_pictures(out: av.container.OutputContainer, clip: Coded) -> list[av.Packet]:
    codec = clip.picture_codec
    options = {**_ENCODERS.get(codec, {}), **clip.picture_options}
    video = out.add_stream(codec, rate=clip.rate, options=options)
    video.height, video.width = SIZE
    video.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    # Ogg counts pictures, too: in its VP8 a picture without a length lasts a tick.
    counting = codec in _COUNTING or out.format.name == "ogv"
    ticks = clip.rate if counting else TICKS
    video.codec_context.time_base = Fraction(1, ticks)
    packets = []
    for number, time in enumerate(clip.pictures):
        frame = av.VideoFrame.from_ndarray(_picture(number), "rgb24")
        frame.pts, frame.time_base = round((time + clip.cut) * ticks), Fraction(1, ticks)
        packets += video.encode(frame)
    return packets + video.encode(None)


def _picture(number: int) -> np.ndarray:
    bits = [(number + 1) >> bit & 1 for bit in range(ROWS * COLUMNS)]
    cells = np.array(bits, np.uint8).reshape(ROWS, COLUMNS) * 255
    return np.repeat(np.kron(cells, np.ones(CELL, np.uint8))[..., None], 3, axis=2)


def _encode_sound(out: av.container.OutputContainer, clip: Coded) -> list[av.Packet]:
    rate = _SOUND_RATES.get(clip.sound_codec, 48_000)
    audio = out.add_stream(clip.sound_codec, rate=rate, layout="mono")
    if clip.sound_codec in _BIT_RATES:
        audio.bit_rate = _BIT_RATES[clip.sound_codec]
    begin, end = clip.sounds[0][0], clip.sounds[-1][1]
    times = np.arange(round((end - begin + clip.cut) * rate)) / rate + float(begin - clip.cut)
    # Rounded, because a second must not begin a sample too early.
    tones = 400.0 + 150.0 * np.floor(np.round(times, 6))
    samples = (0.5 * np.sin(2 * np.pi * tones * times)).astype(np.float32)[None]  # [1, n]
    frame = av.AudioFrame.from_ndarray(samples, "fltp", "mono")
    frame.sample_rate, frame.time_base = rate, Fraction(1, rate)
    frame.pts = round(begin * rate)
    context = audio.codec_context
    converter = av.AudioResampler(context.format.name, "mono", rate, context.frame_size)
    packets = []
    for part in converter.resample(frame) + converter.resample(None):
        packets += audio.encode(part)
    packets += audio.encode(None)
    gaps = [(one[1], two[0]) for one, two in zip(clip.sounds, clip.sounds[1:], strict=False)]
    return [
        packet
        for packet in packets
        if not any(a <= packet.pts * packet.time_base < b for a, b in gaps)
    ]


def shown(frames: np.ndarray) -> list[list[int | None]]:
    """The number of the picture at every instant, None where the screen is black.

    Args:
        frames: uint8 `[T, F, 48, 64, 3]`.

    Returns:
        T lists of F numbers.
    """
    seconds, rate = frames.shape[:2]
    gray = frames.mean(axis=-1).reshape(seconds, rate, ROWS, CELL[0], COLUMNS, CELL[1])
    bits = gray.mean(axis=(3, 5)).reshape(seconds, rate, -1) > 127  # [T, F, 8]
    numbers = bits @ (1 << np.arange(ROWS * COLUMNS)) - 1  # [T, F]
    return [[None if n < 0 else int(n) for n in second] for second in numbers]


def heard(waveform: np.ndarray) -> list[list[int | None]]:
    """The tone in the middle of every quarter of a second, None where it is silent.

    Args:
        waveform: float32 `[T * 16000]`.

    Returns:
        T lists of four seconds whose tone it is; -1 where it is no tone of `hertz`.
    """
    quarter = SAMPLE_RATE // QUARTERS
    found = []
    for part in waveform.reshape(-1, quarter):
        middle = part[quarter // 5 : -quarter // 5]  # from 0.05 s to 0.2 s
        if np.abs(middle).max() < 0.02:
            found.append(None)
            continue
        spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle)), SAMPLE_RATE))
        second = (spectrum.argmax() - 400) / 150
        found.append(round(second) if abs(second - round(second)) < 0.1 else -1)
    return [found[i : i + QUARTERS] for i in range(0, len(found), QUARTERS)]
