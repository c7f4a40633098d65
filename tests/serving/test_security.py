"""Hosts, origins, tokens, rates, and the headers of every answer."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from avel_tf.cli.main import main
from avel_tf.config import Config
from avel_tf.serving.model_worker import ModelSpec
from avel_tf.serving.security import TokenBuckets
from avel_tf.serving.settings import ServingSettings
from tests.serving.running import Running, fake_options, running

TOKEN = "correct-horse-battery-staple"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server that needs a token."""
    options = fake_options(tmp_path_factory.mktemp("guarded"), token=TOKEN, host="0.0.0.0")
    with running(options) as server:
        yield server


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8000", 200),
        ("LOCALHOST", 200),
        ("[::1]:8000", 200),
        ("evil.example", 403),
        ("127.0.0.1.evil.example", 403),
        ("localhost.evil.example:8000", 403),
        ("localhost@evil.example", 403),
        ("192.168.1.5", 403),
        ("", 403),
    ],
)
def test_other_hosts_are_refused(fake: Running, host: str, status: int) -> None:
    answer = fake.client.get("/api/v1/jobs", headers={"Host": host})
    assert answer.status_code == status, answer.text
    if status == 403:
        assert answer.json()["error"]["type"] == "forbidden"


@pytest.mark.parametrize(("host", "status"), [("192.168.1.5:80", 200), ("evil.example", 403)])
def test_addresses_of_a_server_on_all_of_them(guarded: Running, host: str, status: int) -> None:
    headers = {"Host": host, "Authorization": f"Bearer {TOKEN}"}
    assert guarded.client.get("/api/v1/jobs", headers=headers).status_code == status


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 404),
        ({"Origin": "SELF"}, 404),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://127.0.0.1:1"}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 404),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
    ],
)
@pytest.mark.parametrize("method", ["POST", "PATCH", "DELETE"])
def test_other_sites_change_nothing(
    fake: Running, headers: dict[str, str], status: int, method: str
) -> None:
    headers = {name: fake.url if value == "SELF" else value for name, value in headers.items()}
    path, body = "/api/v1/videos/missing/annotations", {"start": 0, "end": 1, "label": "a"}
    if method == "PATCH":
        path, body = path + "/e0", {"start": 0}
    elif method == "DELETE":
        path, body = path + "/e0", None
    answer = fake.client.request(method, path, json=body, headers=headers)
    assert answer.status_code == status, answer.text


def test_every_answer_has_the_headers(fake: Running, guarded: Running) -> None:
    answers = [
        fake.client.get("/"),
        fake.client.get("/api/v1/info"),
        fake.client.get("/nowhere"),
        fake.client.put("/api/v1/jobs"),
        fake.client.get("/", headers={"Host": "evil"}),
        guarded.client.get("/api/v1/info"),
        fake.client.post("/api/v1/videos", content=b"x"),
    ]
    for answer in answers:
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
        assert "unsafe" not in policy and "frame-ancestors 'none'" in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "access-control-allow-origin" not in answer.headers
        if answer.status_code >= 400:
            assert set(answer.json()["error"]) == {"message", "type"}


def test_an_unexpected_error_is_answered_as_others(
    fake: Running, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails() -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr(fake.server.state, "videos", fails)
    answer = fake.client.get("/api/v1/videos")
    assert answer.status_code == 500 and "secret" not in answer.text
    assert "content-security-policy" in answer.headers and "secret" in caplog.text


def test_the_token_is_needed_for_everything_else(guarded: Running) -> None:
    document = guarded.client.get("/openapi.json", headers={"Authorization": f"Bearer {TOKEN}"})
    paths = document.json()["paths"]
    opened = {"/api/v1/login", "/v2/health/live", "/v2/health/ready"}
    for path, methods in paths.items():
        for method in methods:
            answer = guarded.client.request(method.upper(), path)
            assert (answer.status_code == 401) == (path not in opened), (method, path)
    assert guarded.client.get("/openapi.json").status_code == 401


@pytest.mark.parametrize(
    ("header", "status"),
    [
        (f"Bearer {TOKEN}", 200),
        (f"bearer  {TOKEN}", 200),
        (f"Bearer {TOKEN}x", 401),
        ("Bearer", 401),
        (f"Basic {TOKEN}", 401),
        (TOKEN, 401),
    ],
)
def test_the_token_is_a_bearer_header(guarded: Running, header: str, status: int) -> None:
    answer = guarded.client.get("/api/v1/jobs", headers={"Authorization": header})
    assert answer.status_code == status


def test_signing_in_sets_a_cookie_without_the_token(guarded: Running) -> None:
    with httpx.Client(base_url=guarded.url) as client:
        assert client.post("/api/v1/login", json={"token": "wrong"}).status_code == 401
        answer = client.post("/api/v1/login", json={"token": TOKEN})
        assert answer.status_code == 204
        cookie = answer.headers["set-cookie"]
        assert "HttpOnly" in cookie and "SameSite=strict" in cookie and TOKEN not in cookie
        assert client.get("/api/v1/info").json()["needs_token"]
        client.cookies.set("avel_session", "forged", domain="127.0.0.1")
    with httpx.Client(base_url=guarded.url, cookies={"avel_session": "forged"}) as client:
        assert client.get("/api/v1/info").status_code == 401


def test_guessing_a_token_is_slowed_down(folder: Path) -> None:
    options = fake_options(folder, token=TOKEN)
    with running(options, ready=False) as server:
        tries = [server.client.post("/api/v1/login", json={"token": f"{n}"}) for n in range(12)]
        assert [answer.status_code for answer in tries] == [401] * 10 + [429] * 2
        wrong = {"Authorization": "Bearer wrong"}
        tries = [server.client.get("/api/v1/jobs", headers=wrong) for _ in range(12)]
        assert {answer.status_code for answer in tries} == {429}
        assert int(tries[-1].headers["Retry-After"]) > 0
        right = {"Authorization": f"Bearer {TOKEN}"}
        assert server.client.get("/api/v1/jobs", headers=right).status_code == 200


def test_no_token_is_logged(guarded: Running, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    guarded.client.get("/api/v1/jobs", headers={"Authorization": f"Bearer {TOKEN}"})
    guarded.client.post("/api/v1/login", json={"token": TOKEN})
    ours = [each for each in caplog.records if not each.name.startswith(("httpcore", "httpx"))]
    assert not [each for each in ours if TOKEN in each.getMessage()]
    assert TOKEN not in repr(guarded.server.options)


def test_a_client_is_limited_in_its_rate(folder: Path) -> None:
    limits = ServingSettings(requests_per_minute=20)
    spec = ModelSpec(config=replace(Config(), serving=limits))
    with running(fake_options(folder, spec=spec), ready=False) as server:
        answers = [server.client.get("/api/v1/jobs") for _ in range(25)]
    statuses = [answer.status_code for answer in answers]
    assert statuses[:20] == [200] * 20 and statuses[-1] == 429
    assert answers[-1].json()["error"]["type"] == "too_many"
    assert 1 <= int(answers[-1].headers["Retry-After"]) <= 4


def test_buckets_fill_again_and_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    from avel_tf.serving import security

    now = 0.0
    monkeypatch.setattr(security.time, "monotonic", lambda: now)
    buckets = TokenBuckets(60)
    assert [buckets.wait("a") for _ in range(61)] == [0.0] * 60 + [1.0]
    assert buckets.wait("b") == 0.0
    now = 2.0
    assert [buckets.wait("a") for _ in range(3)] == [0.0, 0.0, 1.0]
    monkeypatch.setattr(security, "_MOST_CLIENTS", 2)
    for client in "cdef":
        buckets.wait(client)
    assert len(buckets._buckets) == 2


@pytest.mark.parametrize(
    ("words", "token", "expected"),
    [
        (["--host", "0.0.0.0"], "", "needs a token: set AVEL_TOKEN"),
        (["--host", "0.0.0.0"], "short", "at least 16 letters"),
        (["--port", "70000"], "", "--port must be in"),
        (["--model", "nowhere"], "", "nowhere"),
        (["--token-file", "missing"], "", '"missing" cannot be read'),
    ],
)
def test_command_lines_that_are_refused(
    words: list[str],
    token: str,
    expected: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AVEL_TOKEN", token)
    assert main(["serve", *words]) == 1
    assert expected in capsys.readouterr().err
