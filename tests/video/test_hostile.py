"""Names, files and contents meant to reach beyond themselves, through the isolated decoder."""

from __future__ import annotations

import os
import shutil
import socket
import struct
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import numpy as np
import pytest

from avel_tf.video.decode_settings import PICTURE_CODECS, DecodeSettings
from avel_tf.video.errors import MediaError
from avel_tf.video.probe import probe
from tests.processes import not_as_root
from tests.video.films import SIZE, numbers, tone, write_film
from tests.video.hostile import (
    noise,
    resident_peak_mb,
    write_hours_of_sound,
    write_huge,
    write_hundred_hours,
)
from tests.video.in_process import OwnDecoder, decode_clip


@pytest.fixture(scope="module")
def decoder() -> Iterator[OwnDecoder]:
    with OwnDecoder() as decoder:
        yield decoder


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A port of this machine that nobody may call."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield server
        with pytest.raises(BlockingIOError):
            server.accept()


def refusal(decoder: OwnDecoder, path: Path | str | bytes, **settings: object) -> str:
    with pytest.raises(MediaError) as caught:
        decoder.decode_clip(path, size=SIZE, settings=DecodeSettings(**settings))
    return caught.value.cause


NAMES = [
    b"-",
    b"--help.mp4",
    b"-i.mp4",
    b"%03d.mp4",
    b"%s%n.mp4",
    b"concat:a|b",
    b"file:x.mp4",
    b"http:x.mp4",
    b"fd:3",
    b"pipe:0",
    b"subfile,,start,0,end,0,,:x.mp4",
    b"data:video;base64,AAAA",
    b"line\nbreak\r.mp4",
    b"tab\tbell\a\x1b[31m.mp4",
    b"\xff\xfe\x80.mp4",
    "🎬\u202e4pm.exe".encode(),
    b"'; rm -rf $HOME; `id` \"&|.mp4",
    b"*?[a].mp4",
    b" . .mp4 ",
    b"n" * 251 + b".mp4",
]


@pytest.mark.parametrize("name", NAMES)
def test_twenty_names(
    name: bytes,
    film: Path,
    decoder: OwnDecoder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert len(set(NAMES)) == 20
    monkeypatch.chdir(tmp_path)
    shutil.copy(film, name)
    for spelling in (name, os.fsdecode(name), os.path.join(os.fsencode(tmp_path), name)):
        clip = decoder.decode_clip(spelling, size=SIZE)
        assert numbers(clip.frames) == [12, 37, 62] and clip.problem is None
        # What is kept about the film can be turned back into its name.
        assert os.fsencode(clip.info.path) == os.fsencode(spelling)
    Path(os.fsdecode(name)).write_bytes(b"")
    with pytest.raises(MediaError, match="empty") as caught:
        decoder.decode_clip(name)
    shown = str(caught.value)
    assert shown.isprintable() and shown.encode("utf-8")


def box(kind: bytes, *content: bytes) -> bytes:
    body = b"".join(content)
    return struct.pack(">I", 8 + len(body)) + kind + body


def reference_film(url: bytes) -> bytes:
    """A QuickTime film that is only a pointer to another: QuickTime File Format, `rmra`."""
    pointer = box(b"rdrf", bytes(4), b"url ", struct.pack(">I", len(url) + 1), url + b"\0")
    film = box(b"moov", box(b"rmra", box(b"rmda", pointer)))
    return box(b"ftyp", b"qt  ", bytes(4), b"qt  ") + film


def url_of(url: bytes) -> bytes:
    """A data reference by address: ISO/IEC 14496-12, 8.7.2."""
    return box(b"url ", bytes(4), url + b"\0")


def alias_of(path: Path, *, relative: bool) -> bytes:
    """A data reference by Macintosh alias, in the form in which FFmpeg's `mov.c` reads one.

    A relative one says how many levels to go up from the film and down to its target.
    """
    name = os.fsencode(path.name)
    absolute = os.fsencode(path).replace(b"/", b":")
    absolute += bytes(len(absolute) % 2)
    content = bytes(10) + bytes([0]) + bytes(27)  # a volume without a name
    content += bytes(12) + bytes([len(name)]) + name.ljust(63, b"\0")
    content += bytes(16) + struct.pack(">HH", relative, relative) + bytes(16)
    content += struct.pack(">HH", 2, len(absolute)) + absolute  # 2: the path from the root
    content += struct.pack(">HH", 0xFFFF, 0)
    return box(b"alis", bytes(4), content)


def film_with_media_elsewhere(outside: bytes, film: Path) -> bytes:
    """An mp4 whose first data reference points at another file instead of at itself."""
    body = film.read_bytes()
    inside = box(b"url ", b"\0\0\0\1")
    grown = len(outside) - len(inside)
    assert body.index(b"moov") > body.index(b"mdat")  # so that no offset of a picture moves
    for kind in (b"moov", b"trak", b"mdia", b"minf", b"dinf", b"dref"):
        at = body.index(kind) - 4
        size = struct.unpack_from(">I", body, at)[0]
        body = body[:at] + struct.pack(">I", size + grown) + body[at + 4 :]
    return body.replace(inside, outside, 1)


POSERS: dict[str, Callable[[str, Path], bytes]] = {
    "HLS of a file": lambda url, canary: (
        f"#EXTM3U\n#EXTINF:3,\n{canary}\n#EXT-X-ENDLIST\n".encode()
    ),
    "HLS of the network": lambda url, canary: f"#EXTM3U\n#EXTINF:3,\n{url}\n".encode(),
    "ffconcat": lambda url, canary: f"ffconcat version 1.0\nfile '{canary}'\nfile {url}\n".encode(),
    "DASH": lambda url, canary: (
        f'<?xml version="1.0"?><MPD><BaseURL>{url}</BaseURL><BaseURL>{canary}</BaseURL></MPD>'
    ).encode(),
    "pls": lambda url, canary: f"[playlist]\nFile1={url}\nFile2={canary}\n".encode(),
    "SDP": lambda url, canary: (
        b"v=0\nc=IN IP4 127.0.0.1\nm=video %d RTP/AVP 96\na=rtpmap:96 H264/90000\n"
        % int(url.split(":")[2].split("/")[0])
    ),
    "pointer film": lambda url, canary: reference_film(url.encode()),
    "media elsewhere": lambda url, canary: film_with_media_elsewhere(url_of(url.encode()), canary),
}


@pytest.mark.parametrize("kind", POSERS)
def test_eight_posers(
    kind: str,
    film: Path,
    listener: socket.socket,
    decoder: OwnDecoder,
    tmp_path: Path,
) -> None:
    """A list that calls itself a film reads no other file and calls nobody."""
    assert len(POSERS) == 8
    canary = tmp_path / "canary.mp4"
    shutil.copy(film, canary)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/film.mp4"
    for ending in ("mp4", "m3u8"):
        path = tmp_path / f"poser.{ending}"
        path.write_bytes(POSERS[kind](url, canary))
        for decode in (decoder.decode_clip, decode_clip):
            try:
                clip = decode(path, size=SIZE)
            except MediaError:
                continue
            # Only a film whose pictures it holds itself may come out, wherever its header points.
            print(kind, clip.problem)
            assert kind == "media elsewhere" and numbers(clip.frames) == [12, 37, 62]


ELSEWHERE: dict[str, Callable[[Path], bytes]] = {
    "address, absolute": lambda canary: url_of(b"file://" + os.fsencode(canary)),
    "address, relative": lambda canary: url_of(os.fsencode(canary.name)),
    "alias, absolute": lambda canary: alias_of(canary, relative=False),
    "alias, relative": lambda canary: alias_of(canary, relative=True),
}


@pytest.mark.parametrize("kind", ELSEWHERE)
def test_no_picture_of_another_file_gets_in(
    kind: str,
    film: Path,
    decoder: OwnDecoder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An mp4 with the tables of a film that lies beside it, and nothing of its own behind them."""
    monkeypatch.chdir(tmp_path)
    canary = tmp_path / "canary.mp4"
    shutil.copy(film, canary)
    body = film_with_media_elsewhere(ELSEWHERE[kind](canary), canary)
    start, end = body.index(b"mdat") + 4, body.index(b"moov") - 4
    path = tmp_path / "poser.mp4"
    path.write_bytes(body[:start] + bytes(end - start) + body[end:])
    for name in (path, path.name):
        for decode in (decoder.decode_clip, decode_clip):
            with pytest.raises(MediaError, match="frame"):
                decode(name, size=SIZE)
    if kind.startswith("alias"):  # FFmpeg told to obey shows what would have come in
        options = {"enable_drefs": "1", "use_absolute_path": "1"}
        with av.open(str(path), options=options) as container:
            frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        assert numbers(np.stack(frames)[12::25, None]) == [12, 37, 62]


def test_what_is_no_regular_file(
    film: Path, decoder: OwnDecoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # the name of a socket must be short
    outside = tmp_path / "outside"
    outside.mkdir()
    shutil.copy(film, outside / "film.mp4")
    os.symlink(outside / "film.mp4", "link.mp4")
    os.symlink("loop.mp4", "loop.mp4")
    os.symlink("nowhere.mp4", "dangling.mp4")
    os.mkfifo("pipe.mp4")
    os.mkdir("folder.mp4")
    Path("empty.mp4").write_bytes(b"")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket.mp4")
        for name, words in {
            "link": "symbolic link",
            "loop": "symbolic link",
            "dangling": "symbolic link",
            "pipe": "a named pipe",
            "folder": "a folder",
            "socket": "a socket",
            "empty": "it is empty (0 bytes)",
            "missing": "no such file",
        }.items():
            assert words in refusal(decoder, f"{name}.mp4")
    assert "a device" in refusal(decoder, "/dev/zero")
    assert "symbolic links" in refusal(decoder, "loop.mp4", follow_links=True)
    assert "no such file" in refusal(decoder, "dangling.mp4", follow_links=True)
    followed = decoder.decode_clip(
        "link.mp4", size=SIZE, settings=DecodeSettings(follow_links=True)
    )
    assert followed.valid.all()
    assert len(decoder.idle_pids) == 1


def test_a_file_that_may_not_be_read(film: Path) -> None:
    # Other users may not enter the folders that pytest makes.
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        path = Path(folder) / "theirs.mp4"
        shutil.copyfile(film, path)
        path.chmod(0o644)
        with not_as_root():
            assert decode_clip(path, size=SIZE).valid.all()
        path.chmod(0)
        with not_as_root(), pytest.raises(MediaError, match="permission denied"):
            decode_clip(path, size=SIZE)


def test_a_file_removed_after_it_was_listed(
    film: Path, decoder: OwnDecoder, tmp_path: Path
) -> None:
    path = tmp_path / "film.mp4"
    shutil.copy(film, path)
    before = decoder.decode_blocks(path, size=SIZE)
    during = decoder.decode_blocks(path, block_seconds=1, size=SIZE)
    next(during)
    path.unlink()
    with pytest.raises(MediaError, match="no such file"):
        next(before)
    assert len(list(during)) == 2  # what is open stays readable


BOMBS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "16384 x 8640": (lambda path: write_huge(path, 16384, 8640), "media.max_pixels"),
    "8K": (lambda path: write_huge(path, 7680, 4320), "media.max_pixels"),
    "100 hours": (write_hundred_hours, "media.max_seconds"),
    "1,000 per second": (
        lambda path: write_film(path, seconds=1, rate=1000),
        "media.max_frame_rate",
    ),
    "10 hours of sound": (lambda path: write_hours_of_sound(path, 10), "media.max_seconds"),
}


@pytest.mark.parametrize("kind", BOMBS)
def test_five_bombs(kind: str, tmp_path: Path) -> None:
    """Refused from the header, with less than 500 MB."""
    write, setting = BOMBS[kind]
    path = write(tmp_path / "bomb.mp4")
    assert path.stat().st_size < 2_000_000
    with OwnDecoder() as decoder:
        cause = refusal(decoder, path)
        (child,) = decoder.idle_pids
        peak = resident_peak_mb(child)
    print(f"\n{kind}: {peak:.0f} MB: {cause}")
    assert "more than the limit of" in cause and setting in cause
    assert peak < 500


@pytest.mark.slow
@pytest.mark.parametrize("threads", [1, 2, 4])
@pytest.mark.parametrize("megabytes", [100, 240, 300, 600])
def test_an_admitted_bomb_meets_the_memory_limit(
    tmp_path: Path, threads: int, megabytes: int
) -> None:
    # A frame takes 212 MB and 74 beside it. How many are needed, and which error FFmpeg reports
    # where there is no room, depends on the number of threads.
    path = write_huge(tmp_path / "bomb.mp4", 16384, 8640)
    with OwnDecoder() as decoder:
        cause = refusal(
            decoder, path, max_pixels=200_000_000, max_memory_mb=megabytes, threads=threads
        )
    assert f"limit of {megabytes} MB of memory" in cause and "media.max_memory_mb" in cause


def test_sound_over_a_still_costs_no_memory(decoder: OwnDecoder, tmp_path: Path) -> None:
    """Half an hour of sound takes 115 MB: what is handed out is let go of, picture or not."""
    path = write_hours_of_sound(tmp_path / "long.mp4", 0.5)
    blocks = list(
        decoder.decode_blocks(
            path, size=(8, 8), settings=DecodeSettings(max_memory_mb=60, threads=1)
        )
    )
    assert sum(block.seconds for block in blocks) == 1800 and blocks[-1].problem is None
    assert all(block.valid.all() for block in blocks)
    last = blocks[0].frames[1:2]
    assert all((block.frames == last).all() for block in blocks[1:])


def test_a_file_of_too_many_bytes(film: Path, decoder: OwnDecoder) -> None:
    size = film.stat().st_size
    cause = refusal(decoder, film, max_file_bytes=size - 1)
    assert f"{size:,} bytes" in cause and f"limit of {size - 1:,}" in cause
    assert "media.max_file_bytes" in cause
    fits = DecodeSettings(max_file_bytes=size)
    assert decoder.decode_clip(film, size=SIZE, settings=fits).valid.all()


def test_codecs_that_are_not_wanted(film: Path, decoder: OwnDecoder) -> None:
    cause = refusal(decoder, film, codecs=("hevc", "aac"))
    assert "in the format h264" in cause and "add h264 to media.codecs" in cause
    clip = decoder.decode_clip(film, size=SIZE, settings=DecodeSettings(codecs=("h264",)))
    assert clip.valid.all() and not clip.has_sound and not clip.waveform.any()
    assert "aac, which is not in media.codecs" in clip.problem
    with pytest.raises(MediaError, match="media.codecs"):
        probe(film, DecodeSettings(codecs=("aac",)))


def test_a_codec_that_was_never_wanted(decoder: OwnDecoder, tmp_path: Path) -> None:
    """Of hundreds of decoders only the usual ones are in reach of a stranger's file."""
    path = write_film(tmp_path / "a.mkv", video_codec="snow", options={"strict": "-2"})
    assert "snow" not in PICTURE_CODECS
    assert "add snow to media.codecs" in refusal(decoder, path)
    allowed = DecodeSettings(codecs=(*PICTURE_CODECS, "snow"))
    assert decoder.decode_clip(path, size=SIZE, settings=allowed).valid.all()


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"codecs": ("h265",)}, r"media\.codecs contains 'h265'.*Did you mean"),
        (
            {"max_file_bytes": 0},
            r"media\.max_file_bytes .* Received: 0",
        ),
        ({"max_wall_seconds": -1}, r"media\.max_wall_seconds"),
        ({"max_stall_seconds": 0}, r"media\.max_stall_seconds"),
        ({"max_memory_mb": 0}, r"media\.max_memory_mb"),
    ],
)
def test_settings_that_make_no_sense(wrong: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        DecodeSettings(**wrong)


def test_a_hole_in_an_mkv_is_told(decoder: OwnDecoder, tmp_path: Path) -> None:
    """Matroska passes over damage without a word; the missing sound gives it away."""
    path = write_film(tmp_path / "a.mkv", seconds=6, sound=tone(6, 48_000), audio_codec="flac")
    body = bytearray(path.read_bytes())
    third = len(body) // 3
    body[third : 2 * third] = b"\xa5" * third
    path.write_bytes(body)
    clip = decoder.decode_clip(path, size=SIZE)
    assert clip.seconds == 6 and "of audio are missing in the middle" in clip.problem


@pytest.mark.parametrize("codec", ["libx264", "libvpx-vp9"])
def test_a_hole_in_the_picture_of_a_silent_mkv_is_told(
    codec: str, decoder: OwnDecoder, tmp_path: Path
) -> None:
    path = write_film(tmp_path / "a.mkv", seconds=6, rate=10, pictures=noise(6), video_codec=codec)
    assert decoder.decode_clip(path, size=SIZE).problem is None
    body = bytearray(path.read_bytes())
    third = len(body) // 3
    body[third : 2 * third] = bytes(third)
    path.write_bytes(body)
    clip = decoder.decode_clip(path, size=SIZE)
    assert clip.seconds == 6 and clip.valid.all()
    assert "s of video are missing in the middle" in clip.problem


def test_a_picture_that_stays_is_no_hole(decoder: OwnDecoder, tmp_path: Path) -> None:
    times = [round(time * 90_000) for time in (0.0, 0.1, 3.0, 3.1, 7.9)]
    path = write_film(tmp_path / "a.mkv", times=times, rate=10, sound=tone(8, 48_000))
    clip = decoder.decode_clip(path, size=SIZE)
    assert clip.seconds == 8 and clip.problem is None


def edited(film: Path, path: Path, *, skipped: float, shown: float) -> Path:
    """The film with an edit list that leaves out its beginning and its end."""
    body = bytearray(write_film(path, seconds=3).read_bytes())
    at = body.index(b"elst") + 4 + 8  # version, flags and the number of entries come first
    assert struct.unpack_from(">Ii", body, at) == (3_000, 0)
    struct.pack_into(">Ii", body, at, round(shown * 1000), round(skipped * 90_000))
    path.write_bytes(body)
    return path


def test_an_edit_list_is_obeyed(film: Path, decoder: OwnDecoder, tmp_path: Path) -> None:
    path = edited(film, tmp_path / "a.mp4", skipped=1.0, shown=2.0)
    clip = decoder.decode_clip(path, size=SIZE)
    assert numbers(clip.frames) == [37, 62] and clip.valid.all() and clip.problem is None


def test_an_edit_list_that_cuts_the_end(film: Path, decoder: OwnDecoder, tmp_path: Path) -> None:
    path = edited(film, tmp_path / "a.mp4", skipped=0.0, shown=1.0)
    clip = decoder.decode_clip(path, size=SIZE)
    assert numbers(clip.frames) == [12] and clip.problem is None


def test_an_edit_list_that_promises_what_is_not_there(
    film: Path, decoder: OwnDecoder, tmp_path: Path
) -> None:
    path = edited(film, tmp_path / "a.mp4", skipped=2.0, shown=3.0)
    clip = decoder.decode_clip(path, size=SIZE)
    assert numbers(clip.frames) == [62] and "declared" in clip.problem
