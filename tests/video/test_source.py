"""Which files are opened, and what is said about the others."""

from __future__ import annotations

import os
import pickle
import shutil
import socket
from pathlib import Path

import pytest

from avel_tf.video.decode_settings import DecodeSettings
from avel_tf.video.errors import MediaError
from avel_tf.video.probe import probe
from avel_tf.video.source import open_media
from tests.video.films import SIZE, numbers, write_film
from tests.video.in_process import decode_clip


def refusal(path: str | bytes | os.PathLike) -> str:
    """What the error says when the file is decoded."""
    with pytest.raises(MediaError) as caught:
        decode_clip(path)
    return str(caught.value)


@pytest.mark.parametrize(
    "name",
    [
        b"plain.mp4",
        b"-rf.mp4",
        b"-",
        b"%03d.mp4",
        b"concat:a|b.mp4",
        b"pipe:0",
        b"file:x.mp4",
        b"http:x.mp4",
        b"line\nbreak.mp4",
        b"not utf-8 \xff\xfe.mp4",
        "Ünïcödé 🎬.mp4".encode(),
        b'\'; DROP TABLE "x".mp4',
        b"no ending",
        b"wrong.txt",
        b"x.m3u8",
        b"n" * 250 + b".mp4",
    ],
)
def test_any_name_is_only_a_name(
    name: bytes, film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(film, name)
    expected = decode_clip(film, size=SIZE)
    for spelling in (name, os.fsdecode(name), os.path.join(os.fsencode(tmp_path), name)):
        clip = decode_clip(spelling, size=SIZE)
        assert clip.frames.tobytes() == expected.frames.tobytes()
        assert clip.info.path == os.fsdecode(spelling)


def test_the_error_names_file_and_cause(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"two\nlines \xff.mp4")
    path.write_bytes(b"")
    with pytest.raises(MediaError) as caught:
        decode_clip(path)
    assert caught.value.path == path
    assert caught.value.cause == "it is empty (0 bytes)"
    assert "two\\nlines \\xff.mp4" in str(caught.value)
    str(caught.value).encode("utf-8")  # can be printed and logged
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == str(caught.value)


def test_no_such_file(tmp_path: Path) -> None:
    assert "no such file" in refusal(tmp_path / "missing.mp4")


def test_a_name_with_a_zero_byte() -> None:
    assert "not a valid file name" in refusal("a\0b.mp4")


def test_things_that_are_no_regular_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")  # opening it plainly would wait for ever
    assert "named pipe" in refusal(tmp_path / "pipe.mp4")
    (tmp_path / "folder.mp4").mkdir()
    assert "a folder" in refusal(tmp_path / "folder.mp4")
    assert "a device" in refusal("/dev/zero")


def test_a_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # the name of a socket must be short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("s.mp4")
        assert "a socket" in refusal("s.mp4")


def test_links_are_followed_only_when_asked(film: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.mp4"
    link.symlink_to(film)
    message = refusal(link)
    assert "symbolic link" in message and "media.follow_links" in message
    clip = decode_clip(link, size=SIZE, settings=DecodeSettings(follow_links=True))
    assert clip.valid.all()


@pytest.mark.parametrize(
    "text",
    [
        "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{canary}\n#EXT-X-ENDLIST\n",
        "ffconcat version 1.0\nfile '{canary}'\n",
        "[playlist]\nFile1={canary}\n",
        '<?xml version="1.0"?><MPD><BaseURL>{canary}</BaseURL></MPD>',
        "\ufeff#EXTM3U\n{canary}\n",
    ],
)
def test_a_playlist_opens_nothing(text: str, film: Path, tmp_path: Path) -> None:
    playlist = tmp_path / "playlist.mp4"
    playlist.write_text(text.format(canary=film))
    assert "playlist" in refusal(playlist)


@pytest.mark.parametrize(
    "head",
    [
        b"\0\0\0\x18ftypisom\0\0\0\0",
        b"\x1aE\xdf\xa3",
        b"FLV\x01",
        b"\0\0\x01\xba",
        b"RIFF\0\0\0\0AVI ",
        b"OggS\0\x02",
        bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c"),
    ],
)
def test_a_playlist_behind_a_borrowed_signature(head: bytes, film: Path, tmp_path: Path) -> None:
    playlist = tmp_path / "playlist.mp4"
    playlist.write_bytes(head + f"\n#EXTM3U\n#EXTINF:10,\n{film}\n".encode())
    refusal(playlist)


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"\0" * 5000, "zeros"),
        (b"hello world, I am a text" * 10, "first bytes"),
        (b"%PDF-1.7 ...", "first bytes"),
        (b"\0\0\0\x18ftypisom", "header"),
        (b"\x1aE\xdf\xa3" + b"\xff" * 300, "header"),
        (b"x", "first bytes"),
        (b"OggS", "header"),
        (bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c") + b"\xff" * 300, "header"),
        (bytes.fromhex("0005160700020000") + b"Mac OS X        ", "macOS sidecar file"),
        (b"[Reference]\r\nRef1=http://localhost/a.wmv?MSWMExt=.asf", "playlist"),
        (b'<ASX version="3.0"><Entry><Ref href="a.wmv"/></Entry></ASX>', "playlist"),
    ],
)
def test_files_that_are_no_film(content: bytes, word: str, tmp_path: Path) -> None:
    path = tmp_path / "x.mp4"
    path.write_bytes(content)
    assert word in refusal(path)


def test_the_index_may_stand_at_either_end(film: Path, tmp_path: Path) -> None:
    body = film.read_bytes()
    assert body.index(b"moov") > body.index(b"mdat")  # FFmpeg writes it last unless told
    front = write_film(tmp_path / "front.mp4", seconds=3, options={"movflags": "faststart"})
    assert front.read_bytes().index(b"moov") < front.read_bytes().index(b"mdat")
    first, last = decode_clip(front, size=SIZE), decode_clip(film, size=SIZE)
    assert numbers(first.frames) == numbers(last.frames) == [12, 37, 62]


def test_no_descriptor_is_left_open(film: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(film.read_bytes()[:2000])
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    for _ in range(3):
        decode_clip(film, size=SIZE)
        probe(film)
        refusal(broken)
        refusal(tmp_path)
        with open_media(film) as container:
            assert container.duration == 3_000_000
    after = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    assert after == before
