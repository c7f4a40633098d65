"""Films made to do harm: damaged at random, or built to look small and decode to something huge."""

from __future__ import annotations

import os
import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from tests.video.films import FAST, film_writer, tone, write_film

SIZE = (48, 64)
# (name, ending, picture, sound): one film for each video decoder.
FILMS = (
    ("h264", "mp4", "libx264", "aac"),
    ("hevc", "mp4", "libx265", "aac"),
    ("vp9", "webm", "libvpx-vp9", "libopus"),
    ("av1", "webm", "libsvtav1", "libopus"),
)
# What archives and old phones hold. FFmpeg has no encoder for Theora: see `test_mutants`.
ARCHIVE_FILMS = (
    ("vp8", "ogv", "libvpx", "libopus"),
    ("wmv2", "wmv", "wmv2", "wmav2"),
    ("amr", "3gp", "libx264", "amr_nb"),
)
KINDS = ("flip", "index", "delete", "double", "cut")

# What a decoder does to itself, run at the start of every child that has this on its path. The
# names of the films say which, so that the package itself needs no hook for tests.
POISON = """
import ctypes, os, time
import avel_tf.video.source as source

open_regular = source._open_regular

def poisoned(path, follow_links):
    kind = os.path.basename(os.fsdecode(path)).split(".")[0]
    if kind == "aborts": os.abort()
    if kind == "crashes": ctypes.string_at(0)
    if kind == "exits": os._exit(3)
    if kind == "is_killed": os.kill(os.getpid(), 9)
    if kind == "hangs": time.sleep(3600)
    while kind == "spins": pass
    if kind == "raises": raise RuntimeError("no such thing as a bug")
    if kind == "eats":
        eaten = []
        while True: eaten.append(bytearray(1 << 24))
    return open_regular(path, follow_links)

source._open_regular = poisoned
"""


def noise(seconds: float) -> list[np.ndarray]:
    """Pictures that do not compress, so that damage hits picture data: 10 for each second."""
    rng = np.random.default_rng(0)
    large = rng.integers(0, 255, (round(10 * seconds), 6, 8, 3), dtype=np.uint8)
    return list(large.repeat(8, axis=1).repeat(8, axis=2))  # [N, 48, 64, 3]


def write_small(folder: Path, name: str, *, seconds: float = 2.0, **more: object) -> Path:
    """One of the films above: 64 x 48, 10 pictures a second, with a tone."""
    _, ending, video, audio = next(film for film in FILMS + ARCHIVE_FILMS if film[0] == name)
    options = {"movflags": "faststart"} if ending == "mp4" else {}
    settings: dict = {
        "seconds": seconds,
        "rate": 10,
        "pictures": noise(seconds),
        "video_codec": video,
        "audio_codec": audio,
        "sound": tone(seconds, 8_000 if audio == "amr_nb" else 48_000),
        "sound_rate": 8_000 if audio == "amr_nb" else 48_000,
        "bit_rate": {"wmav2": 64_000, "amr_nb": 12_200}.get(audio),
        "options": options,
    }
    return write_film(folder / f"{name}.{ending}", **{**settings, **more})


def mutant(body: bytes, kind: str, rng: np.random.Generator) -> bytes:
    """The film with damage of one kind."""
    damaged = bytearray(body)
    if kind == "flip":
        for at in rng.integers(0, 8 * len(body), rng.integers(1, 40)):
            damaged[at // 8] ^= 1 << at % 8
    elif kind == "index":  # the tables say where everything lies and how large it is
        start = max(body.find(b"moov"), 0)  # webm has its tables at the start
        end = min(len(body), start + 1200)
        for at in rng.integers(start, end, rng.integers(1, 12)):
            damaged[at] = rng.choice([0, 1, 0x7F, 0x80, 0xFF, int(rng.integers(256))])
    else:
        start = int(rng.integers(0, len(body)))
        length = int(rng.integers(1, max(2, len(body) // 4)))
        if kind == "delete":
            del damaged[start : start + length]
        elif kind == "double":
            damaged[start:start] = damaged[start : start + length]
        else:
            del damaged[start:]
    return bytes(damaged)


def sps(width: int, height: int, length: int) -> bytes:
    """A sequence parameter set of H.264 for pictures of this size, padded to a length.

    Reference:
        ITU-T H.264, 7.3.2.1.1 (Baseline: no fields behind `seq_parameter_set_id` for chroma).
    """

    def ue(value: int) -> str:  # Exp-Golomb, 9.1
        digits = f"{value + 1:b}"
        return "0" * (len(digits) - 1) + digits

    # log2_max_frame_num, pic_order_cnt_type 2, one reference, no gaps; the size in macroblocks;
    # frames only, direct inference, no cropping, no VUI, stop bit.
    numbers = [0, 0, 2, 1]
    bits = "".join(map(ue, numbers)) + "0" + ue(width // 16 - 1) + ue(height // 16 - 1) + "11001"
    bits += "0" * (-len(bits) % 8)
    body = bytes(int(bits[i : i + 8], 2) for i in range(0, len(bits), 8))
    found = b"\x67\x42\xc0\x3e" + body  # Baseline, level 6.2
    assert b"\0\0" not in found and len(found) <= length
    return found.ljust(length, b"\0")


def write_huge(path: Path, width: int, height: int) -> Path:
    """A small mp4 whose pictures claim to be huge."""
    body = bytearray(write_film(path, seconds=1).read_bytes())
    box = body.index(b"avc1")
    struct.pack_into(">HH", body, box + 28, width, height)
    record = body.index(b"avcC") + 4
    length = struct.unpack_from(">H", body, record + 6)[0]
    body[record + 8 : record + 8 + length] = sps(width, height, length)
    path.write_bytes(body)
    return path


def write_hundred_hours(path: Path) -> Path:
    """100 pictures, each of which claims to stay for an hour."""
    body = bytearray(write_film(path, seconds=4).read_bytes())
    # Lengths in the headers of film, track and edit list are in milliseconds.
    for box, at in ((b"mvhd", 16), (b"tkhd", 20), (b"elst", 8)):
        start = body.index(box) + 4 + at
        assert struct.unpack_from(">I", body, start)[0] == 4_000
        struct.pack_into(">I", body, start, 360_000_000)
    # A picture lasts 3,600 ticks; now a tick lasts a second.
    start = body.index(b"mdhd") + 4 + 12
    assert struct.unpack_from(">I", body, start)[0] == 25 * 3600
    struct.pack_into(">I", body, start, 1)
    path.write_bytes(body)
    return path


def write_hours_of_sound(path: Path, hours: float) -> Path:
    """A second of picture and hours of sound, all of it really there."""
    rate = 8_000
    with film_writer(path) as film:
        video = film.add_stream("libx264", rate=10, options=FAST["libx264"])
        video.width, video.height, video.pix_fmt = SIZE[1], SIZE[0], "yuv420p"
        audio = film.add_stream("aac", rate=rate, layout="mono")
        for image in noise(1.0):
            film.mux(video.encode(av.VideoFrame.from_ndarray(image, "rgb24")))
        film.mux(video.encode(None))
        samples = audio.codec_context.frame_size or 1024
        frame = av.AudioFrame.from_ndarray(np.zeros((1, rate), np.float32), "fltp", "mono")
        frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
        silence = bytes(audio.encode(frame)[-1])
        for number in range(round(hours * 3600 * rate / samples)):
            packet = av.Packet(silence)
            packet.stream, packet.time_base = audio, Fraction(1, rate)
            packet.pts = packet.dts = number * samples
            packet.duration = samples
            film.mux(packet)
    return path


def resident_peak_mb(pid: int) -> float:
    """Megabytes that a process has had in memory at most."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def decoder_pids(
    parent: int | None = None, module: str = "avel_tf.video.isolated.worker"
) -> list[int]:
    """The decoding children of a process, of this one by default; or those of another module."""
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdecimal():
            continue
        try:
            words = Path(f"/proc/{entry}/cmdline").read_bytes().split(b"\0")
            fields = Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if module.encode() in words and int(fields[1]) == (parent or os.getpid()):
            found.append(int(entry))
    return found
