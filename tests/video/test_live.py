"""Streams decoded while they come, from a pipe and from addresses."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from avel_tf.video.decode_settings import DecodeSettings
from avel_tf.video.errors import MediaError
from avel_tf.video.live import check_source, without_login
from tests.video.films import SIZE, TICKS, numbers, tone, write_film
from tests.video.in_process import OwnDecoder, decode_blocks, decode_live

FRAGMENTED = {"movflags": "frag_keyframe+empty_moov"}
SHORT = DecodeSettings(max_stall_seconds=1.5)
SECONDS = 5


@pytest.fixture(scope="module")
def transport(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("live") / "film.ts"
    return write_film(path, seconds=SECONDS, rate=10, sound=tone(SECONDS, 48_000))


@contextlib.contextmanager
def piped(*parts: bytes | float, then_close: bool = True) -> Iterator[int]:
    """A descriptor from which the parts come; a number is a pause of so many seconds."""
    reading, writing = os.pipe()
    left = threading.Event()

    def feed() -> None:
        with contextlib.suppress(BrokenPipeError), os.fdopen(writing, "wb", buffering=0) as pipe:
            for part in parts:
                if isinstance(part, bytes):
                    pipe.write(part)
                else:
                    time.sleep(part)
            if not then_close:
                left.wait(60)

    thread = threading.Thread(target=feed)
    thread.start()
    try:
        yield reading
    finally:
        left.set()
        os.close(reading)
        thread.join()


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("film.ts", {}),
        ("film.mkv", {}),
        ("film.webm", {"video_codec": "libvpx-vp9", "audio_codec": "libopus"}),
        ("film.mp4", {"options": FRAGMENTED}),
        ("fast.mp4", {"options": {"movflags": "faststart"}}),
    ],
)
def test_a_pipe_gives_what_the_file_gives(tmp_path, name, options):
    path = write_film(tmp_path / name, seconds=4, rate=10, sound=tone(4, 48_000), **options)
    expected = list(decode_blocks(path, block_seconds=1, size=SIZE))
    with piped(path.read_bytes()) as descriptor:
        found = list(decode_live("-", descriptor=descriptor, size=SIZE))
    assert [clip.seconds for clip in found] == [1] * 4
    for one, other in zip(expected, found, strict=True):
        np.testing.assert_array_equal(one.frames, other.frames)
        np.testing.assert_array_equal(one.waveform, other.waveform)
        assert one.valid == other.valid and other.has_sound and other.problem is None


def test_a_second_is_there_before_the_next_has_come(transport):
    content = transport.read_bytes()
    # Of five seconds, three and a bit.
    part = content[: int(len(content) * 3.3 / SECONDS)]
    with OwnDecoder() as decoder, piped(part, then_close=False) as descriptor:
        patient = DecodeSettings(max_stall_seconds=600)
        clips = decoder.decode_live("-", descriptor=descriptor, size=SIZE, settings=patient)
        assert [next(clips).valid.tolist() for _ in range(3)] == [[True]] * 3
        clips.close()  # though it waits for more
        assert not decoder.idle_pids


@pytest.mark.slow
@pytest.mark.parametrize("isolated", [False, True])
def test_silence_counts_as_the_end(transport, isolated):
    content = transport.read_bytes()
    part = content[: int(len(content) * 3.3 / SECONDS)]
    found = []
    with OwnDecoder() as decoder, piped(part, then_close=False) as descriptor:
        decode = decoder.decode_live if isolated else decode_live
        with contextlib.suppress(MediaError):
            for clip in decode("-", descriptor=descriptor, size=SIZE, settings=SHORT):
                found.append(clip)
        with pytest.raises(MediaError, match="no data came from it for 1.5 s"):
            next(decode("-", descriptor=descriptor, size=SIZE, settings=SHORT))
    assert len(found) in (3, 4)


@pytest.mark.slow
def test_silence_is_told(transport):
    content = transport.read_bytes()
    # Cut where the last second has come: there is no block left that could tell.
    problems = []
    for share in (3.05, 3.3, 3.8):
        part = content[: int(len(content) * share / SECONDS)]
        with piped(part, then_close=False) as descriptor:
            try:
                for clip in decode_live("-", descriptor=descriptor, size=SIZE, settings=SHORT):
                    problem = clip.problem
            except MediaError as error:
                problem = error.cause
            problems.append(problem)
    assert all("came for 1.5 s, which counts as the end" in each for each in problems), problems


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "it is empty"),
        (b"garbage " * 500, "no supported container"),
        (b"#EXTM3U\n/etc/passwd\n", "the files it names are not opened"),
        (b"\x1aE\xdf\xa3" + b"garbage" * 500, "no stream can be read from it"),
        (b"\0\0\0\x18ftypisom" + b"garbage" * 500, "must be fragmented"),
    ],
)
def test_what_is_no_stream(content, words):
    with (
        OwnDecoder() as decoder,
        piped(content) as descriptor,
        pytest.raises(MediaError, match=words),
    ):
        list(decoder.decode_live("-", descriptor=descriptor))


@pytest.mark.parametrize("isolated", [False, True])
def test_a_folder_is_no_stream(tmp_path, isolated):
    descriptor = os.open(tmp_path, os.O_RDONLY)
    try:
        with (
            OwnDecoder() as decoder,
            pytest.raises(MediaError, match=r"no stream can be read from it \(Is a directory\)"),
        ):
            decode = decoder.decode_live if isolated else decode_live
            list(decode("-", descriptor=descriptor))
    finally:
        os.close(descriptor)


def test_the_limits_on_pictures_and_codecs_stay(transport):
    for settings, words in (
        (DecodeSettings(max_pixels=100), "max_pixels"),
        (DecodeSettings(codecs=("vp9", "aac")), "media.codecs|no stream can be read"),
    ):
        with piped(transport.read_bytes()) as descriptor, pytest.raises(MediaError, match=words):
            list(decode_live("-", descriptor=descriptor, settings=settings))


def test_the_limits_on_length_do_not_hold(transport):
    settings = DecodeSettings(max_seconds=1, max_frames=2, max_wall_seconds=0.01)
    with OwnDecoder() as decoder, piped(transport.read_bytes()) as descriptor:
        assert len(list(decoder.decode_live("-", descriptor=descriptor, settings=settings))) == 5


@pytest.mark.slow
def test_datagrams(transport):
    """Joined in its midst, as one does with a broadcast."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    content, over = transport.read_bytes(), threading.Event()
    packet = 7 * 188  # as many packets of MPEG-TS as Ethernet carries

    def send() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for first in range(0, len(content), packet):
                sender.sendto(content[first : first + packet], ("127.0.0.1", port))
                if over.wait(SECONDS * packet / len(content)):
                    return

    thread = threading.Thread(target=send)
    found = []
    with OwnDecoder() as decoder:
        clips = decoder.decode_live(f"udp://127.0.0.1:{port}", size=SIZE, settings=SHORT)
        threading.Timer(1.0, thread.start).start()
        try:
            for clip in clips:
                found.append(clip)
        except MediaError as error:
            assert "no data came for 1.5 s" in error.cause
        over.set()
    assert 3 <= len(found) <= 5 and found[0].valid.all()


def test_what_is_opened():
    for source in ("-", "udp://127.0.0.1:1", "rtsp://camera/1", "RTSP://camera"):
        check_source(source)
    for source in ("http://example.com/x.ts", "file:///etc/passwd", "film.ts", "concat:a|b"):
        with pytest.raises(ValueError, match="- for standard input, or a URL.*udp:// or rtsp"):
            check_source(source)


def test_a_password_is_not_shown():
    assert without_login("rtsp://me:secret@camera:554/a?b=1") == "rtsp://camera:554/a?b=1"
    assert without_login("me:secret@x") == "me:secret@x"
    with OwnDecoder() as decoder, pytest.raises(MediaError) as caught:
        list(decoder.decode_live("rtsp://me:secret@127.0.0.1:9/a", settings=SHORT))
    assert "secret" not in str(caught.value) and "refused" in str(caught.value)


def serve_rtsp(server: socket.socket, content: bytes) -> None:
    """One camera for one viewer: RFC 2326 with MPEG-TS in RTP (RFC 2250) on the same connection."""
    connection, _ = server.accept()
    requests = connection.makefile("rb")
    answers = {
        b"DESCRIBE": (
            b"Content-Type: application/sdp\r\n",
            b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=film\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\n"
            b"m=video 0 RTP/AVP 33\r\na=control:track\r\n",
        ),
        b"SETUP": (b"Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\nSession: 1\r\n", b""),
        b"PLAY": (b"Session: 1\r\n", b""),
    }
    method = b""
    while method != b"PLAY":
        method, number = requests.readline().split(b" ")[0], b""
        while header := requests.readline().strip():
            if header.lower().startswith(b"cseq:"):
                number = header.partition(b":")[2].strip()
        headers, body = answers.get(method, (b"Public: DESCRIBE, SETUP, PLAY\r\n", b""))
        headers += b"CSeq: %b\r\nContent-Length: %d\r\n\r\n" % (number, len(body))
        connection.sendall(b"RTSP/1.0 200 OK\r\n" + headers + body)
    for number, first in enumerate(range(0, len(content), 7 * 188)):
        part = content[first : first + 7 * 188]
        ticks = TICKS * SECONDS * first // len(content)
        rtp = b"\x80\x21" + number.to_bytes(2, "big") + ticks.to_bytes(4, "big") + b"film" + part
        connection.sendall(b"$\0" + len(rtp).to_bytes(2, "big") + rtp)
    requests.close()
    connection.close()


def test_a_camera(transport):
    expected = list(decode_blocks(transport, block_seconds=1, size=SIZE))
    with socket.create_server(("127.0.0.1", 0)) as server, OwnDecoder() as decoder:
        thread = threading.Thread(target=serve_rtsp, args=(server, transport.read_bytes()))
        thread.start()
        source = f"rtsp://me:secret@127.0.0.1:{server.getsockname()[1]}/film"
        found = list(decoder.decode_live(source, size=SIZE, settings=SHORT))
        thread.join()
    assert [numbers(clip.frames) for clip in found] == [numbers(clip.frames) for clip in expected]
    assert "secret" not in found[0].info.path
