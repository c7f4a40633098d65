"""Uploads and server paths: limits, hostile names, slow and broken clients, a full disk."""

from __future__ import annotations

import errno
import os
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from avel_tf.config import Config
from avel_tf.serving import uploads
from avel_tf.serving.model_worker import ModelSpec
from avel_tf.serving.settings import ServingSettings
from tests.processes import wait_until
from tests.serving.running import Running, fake_options, running

LIMIT = 3_000_000
HEAD = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.mp4"\r\n\r\n'
FORM = {"content-type": "multipart/form-data; boundary=x"}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server with small limits."""
    limits = ServingSettings(max_upload_bytes=LIMIT, upload_idle_seconds=0.3, max_body_bytes=20_000)
    spec = ModelSpec(config=replace(Config(), serving=limits))
    with running(fake_options(tmp_path_factory.mktemp("small"), spec=spec)) as server:
        yield server


def left(server: Running) -> list[str]:
    """Files in the folder of uploads that belong to no video."""
    known = {video["id"] for video in server.get("/api/v1/videos")["videos"]}
    folder = server.server.folder / "uploads"
    return [path.name for path in folder.iterdir() if path.stem not in known]


def send(server: Running, content: bytes, name: str = "a.mp4", **form: str) -> httpx.Response:
    return server.client.post("/api/v1/videos", files={"file": (name, content)}, data=form)


def test_an_upload_of_any_size_arrives_unchanged(small: Running) -> None:
    content = os.urandom(LIMIT - 1)
    video = send(small, content).json()["video"]
    assert small.client.get(f"/api/v1/videos/{video}/media").content == content
    part = small.client.get(f"/api/v1/videos/{video}/media", headers={"Range": "bytes=5-9"})
    assert (part.status_code, part.content) == (206, content[5:10])


def test_a_file_over_the_limit_is_refused(small: Running) -> None:
    answer = send(small, bytes(LIMIT + 1))
    assert answer.status_code == 413 and answer.json()["error"]["type"] == "too_large"
    answer = send(small, bytes(40 * LIMIT))  # by its declared length
    assert answer.status_code == 413

    def undeclared() -> Iterator[bytes]:
        yield HEAD
        for _ in range(10):
            yield bytes(LIMIT // 5)

    answer = small.client.post("/api/v1/videos", content=undeclared(), headers=FORM)
    assert answer.status_code == 413
    assert not left(small)


@pytest.mark.parametrize(
    ("name", "status"),
    [("a.txt", 415), ("a", 415), (".mp4", 415), ("a.mp4.exe", 415), ("a.MP4", 202)],
)
def test_only_names_of_videos_are_taken(small: Running, name: str, status: int) -> None:
    assert send(small, b"fine", name).status_code == status
    assert not left(small)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("../../../etc/x.mp4", "x.mp4"),
        ("..\\..\\x.mp4", "x.mp4"),
        ("/etc/x.mp4", "x.mp4"),
        ("a\u202eb.mp4", "a?b.mp4"),
        ("<img src=x>.mp4", "<img src=x>.mp4"),
        ("\U0001f415.mp4", "\U0001f415.mp4"),
        ("a" * 1000 + ".mp4", "a" * 200 + ".mp4"),
    ],
)
def test_names_of_uploads_never_become_paths(small: Running, name: str, shown: str) -> None:
    accepted = send(small, b"fine", name).json()
    assert small.get(f"/api/v1/videos/{accepted['video']}")["name"] == shown
    stored = small.server.folder / "uploads" / f"{accepted['video']}.mp4"
    assert stored.read_bytes() == b"fine"


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"x", "text/plain", 415),
        (b"x", "", 415),
        (b"x", "multipart/form-data", 415),
        (b"no form", FORM["content-type"], 400),
        (HEAD + b"cut", FORM["content-type"], 400),
        (HEAD + b"\r\n--x--\r\n", FORM["content-type"], 400),
        (HEAD.replace(b"file\"", b"fil\"") + b"y\r\n--x--\r\n", FORM["content-type"], 400),
        (b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\nb\r\n--x--\r\n',
         FORM["content-type"], 400),
        (HEAD + b"y\r\n" + HEAD + b"y\r\n--x--\r\n", FORM["content-type"], 400),
        (b"{", "application/json", 422),
        (b"[" * 9_000, "application/json", 422),
        (b'{"path": 1}', "application/json", 422),
        (b'{"path": "a.mp4", "x": 1}', "application/json", 422),
        (b'{"path": "' + b"a" * 20_000, "application/json", 413),
    ],
)  # fmt: skip
def test_bodies_that_are_no_upload(small: Running, content: bytes, kind: str, status: int) -> None:
    answer = small.client.post("/api/v1/videos", content=content, headers={"content-type": kind})
    assert answer.status_code == status, answer.text
    assert answer.json()["error"]["message"] and not left(small)


def test_other_bodies_are_limited_too(small: Running) -> None:
    def undeclared() -> Iterator[bytes]:
        yield from [b" " * 10_000] * 3

    path = "/api/v1/videos/x/annotations"
    for content in (b" " * 30_000, undeclared()):
        answer = small.client.post(path, content=content, headers={"content-type": "text/json"})
        assert answer.status_code == 413, answer.text


@pytest.mark.slow
def test_a_client_that_stops_sending_is_given_up(small: Running) -> None:
    def stalls() -> Iterator[bytes]:
        yield HEAD + b"part"
        time.sleep(2)
        yield b"rest\r\n--x--\r\n"

    answer = small.client.post("/api/v1/videos", content=stalls(), headers=FORM)
    assert answer.status_code == 408 and not left(small)


def test_a_client_that_leaves_leaves_nothing_behind(small: Running) -> None:
    host, port = small.url.removeprefix("http://").split(":")
    folder = small.server.folder / "uploads"
    with socket.create_connection((host, int(port))) as connection:
        head = f"POST /api/v1/videos HTTP/1.1\r\nHost: {host}\r\nContent-Length: 9999\r\n"
        head += f"Content-Type: {FORM['content-type']}\r\n\r\n"
        connection.sendall(head.encode() + HEAD + b"part")
        wait_until(lambda: list(folder.glob(".writing-*")))
    wait_until(lambda: not list(folder.glob(".writing-*")))
    assert not left(small)


@pytest.mark.slow
def test_many_uploads_at_once(fake: Running) -> None:
    def upload(number: int) -> tuple[str, bytes]:
        content = b"fine %d " % number + bytes(200_000)
        with httpx.Client(base_url=fake.url, timeout=600) as client:
            answer = client.post("/api/v1/videos", files={"file": (f"{number}.mp4", content)})
        assert answer.status_code == 202
        return answer.json(), content

    with ThreadPoolExecutor(30) as threads:
        accepted = list(threads.map(upload, range(30)))
    for answer, content in accepted:
        assert fake.wait(answer["job"])["state"] == "done"
        assert fake.client.get(f"/api/v1/videos/{answer['video']}/media").content == content
    assert not left(fake)


def test_too_many_uploads_at_once(folder: Path) -> None:
    limits = ServingSettings(concurrent_uploads=1)
    spec = ModelSpec(config=replace(Config(), serving=limits))
    with running(fake_options(folder, spec=spec), ready=False) as server:

        def slow() -> Iterator[bytes]:
            yield HEAD
            wait_until(lambda: list((folder / "state" / "uploads").iterdir()))
            answer = httpx.post(f"{server.url}/api/v1/videos", files={"file": ("b.mp4", b"x")})
            assert answer.status_code == 503 and "Retry-After" in answer.headers
            yield b"fine\r\n--x--\r\n"

        answer = server.client.post("/api/v1/videos", content=slow(), headers=FORM)
        assert answer.status_code == 202


@pytest.mark.parametrize(
    ("path", "function"),
    [("/api/v1/videos", "publish"), ("/api/v1/videos", "open"), ("/v1/video/events", "open")],
)
def test_a_full_disk_is_said_and_leaves_nothing(
    small: Running, monkeypatch: pytest.MonkeyPatch, path: str, function: str
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    before = len(small.get("/api/v1/videos")["videos"])
    monkeypatch.setattr(uploads, function, full, raising=False)
    answer = small.client.post(path, files={"file": ("a.mp4", b"fine")})
    assert answer.status_code == 507 and "disk" in answer.json()["error"]["message"]
    assert len(small.get("/api/v1/videos")["videos"]) == before and not left(small)


def test_a_database_on_a_full_disk(small: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    import sqlite3

    def full(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(small.server.state, "add_job", full)
    assert send(small, b"fine").status_code == 507
    assert not left(small)


def test_an_analysis_on_a_full_disk_fails_the_job(small: Running) -> None:
    folder = small.server.folder / "analysis"
    # Limits of file sizes act as a full disk does, in the one process.
    import resource

    pid = small.server.model.pid
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY))
    try:
        job = small.wait(send(small, b"fine").json()["job"])
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (-1, resource.RLIM_INFINITY))
    assert job["state"] == "failed" and job["error"]
    assert not list(folder.glob(".writing-*"))
    assert small.wait(send(small, b"fine").json()["job"])["state"] == "done"


# The server's folder


def open_path(server: Running, path: str) -> httpx.Response:
    return server.client.post("/api/v1/videos", json={"path": path})


def test_files_in_the_folder_are_listed_and_opened(fake: Running) -> None:
    data = fake.server.data
    (data / "deep").mkdir()
    for name in ("b.mp4", "deep/a.MKV", "notes.txt", "._b.mp4"):
        (data / name).write_bytes(b"fine")
    (data / "link.mp4").symlink_to(data / "b.mp4")
    files = fake.get("/api/v1/folder")["files"]
    assert [(each["path"], each["size"]) for each in files] == [("b.mp4", 4), ("deep/a.MKV", 4)]
    accepted = open_path(fake, "deep/a.MKV").json()
    assert fake.wait(accepted["job"])["state"] == "done"
    files = fake.get("/api/v1/folder")["files"]
    assert files[1]["video"] == accepted["video"]
    again = open_path(fake, "deep/a.MKV").json()
    assert again["video"] == accepted["video"] and again["job"] != accepted["job"]
    fake.wait(again["job"])
    assert fake.client.delete(f"/api/v1/videos/{accepted['video']}").status_code == 204
    assert (data / "deep" / "a.MKV").exists()


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("../outside.mp4", 403),
        ("/etc/passwd", 403),
        ("sub/../../outside.mp4", 403),
        ("into.mp4", 403),
        ("folder/x.mp4", 403),
        ("inside.mp4", 403),
        ("missing.mp4", 404),
        ("", 404),
        (".", 404),
        ("a\u0000.mp4", 404),
        ("\ud800.mp4", 422),
        ("x" * 900 + ".mp4", 404),
        ("notes.txt", 415),
        ("sub", 404),
    ],
)
def test_no_path_leads_out_of_the_folder(
    small: Running, tmp_path: Path, path: str, status: int
) -> None:
    data = small.server.data
    (data.parent / "outside.mp4").write_bytes(b"secret")
    (data / "sub").mkdir(exist_ok=True)
    (data / "real.mp4").write_bytes(b"fine")
    (data / "notes.txt").write_bytes(b"fine")
    links = {"into.mp4": "../outside.mp4", "folder": str(tmp_path), "inside.mp4": "real.mp4"}
    (tmp_path / "x.mp4").write_bytes(b"secret")
    for name, target in links.items():
        (data / name).unlink(missing_ok=True)
        (data / name).symlink_to(target)
    content = b'{"path": "' + path.encode("unicode_escape").replace(b"\\x00", b"\\u0000") + b'"}'
    answer = small.client.post(
        "/api/v1/videos", content=content, headers={"content-type": "application/json"}
    )
    assert answer.status_code == status, answer.text


def test_a_file_that_became_a_link_is_not_served(small: Running) -> None:
    data = small.server.data
    (data / "swapped.mp4").write_bytes(b"fine")
    accepted = open_path(small, "swapped.mp4").json()
    small.wait(accepted["job"])
    (data / "swapped.mp4").unlink()
    (data / "swapped.mp4").symlink_to("/etc/passwd")
    assert small.client.get(f"/api/v1/videos/{accepted['video']}/media").status_code == 403


@pytest.mark.slow
def test_uploads_are_removed_after_their_time(folder: Path) -> None:
    with running(fake_options(folder)) as server:
        old, corrected, new = (server.upload(f"{n}.mp4", b"fine") for n in range(3))
        for each in (old, corrected, new):
            server.wait(each["job"])
        event = {"label": "Meow", "start": 0, "end": 1}
        path = f"/api/v1/videos/{corrected['video']}/annotations"
        assert server.client.post(path, json=event).status_code == 201
        for each in (old, corrected):
            os.utime(folder / "state" / "uploads" / f"{each['video']}.mp4", (0, 0))
        server.server.purge(3600.0)
        kept = {video["id"] for video in server.get("/api/v1/videos")["videos"]}
        assert kept == {corrected["video"], new["video"]}
        assert not left(server)
