"""Uploads, progress, the queue through a restart, and refusals."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import Served, serve, wait_for
from tests.processes import wait_until

pytestmark = pytest.mark.slow

# Records each text of the list of videos.
RECORD = """
window.texts = [];
document.addEventListener('DOMContentLoaded', () => new MutationObserver(() =>
  window.texts.push(document.querySelector('.videos').innerText)
).observe(document.body, { subtree: true, childList: true, characterData: true }));
"""
TOKEN = "0123456789abcdef0123"


def file_of(name: str, content: bytes) -> dict[str, Any]:
    return {"name": name, "mimeType": "video/mp4", "buffer": content}


def upload(page: Any, *files: dict[str, Any]) -> None:
    page.get_by_label("Video files").set_input_files(list(files))


@pytest.fixture(scope="session")
def minute(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A clip of a minute, which takes a while to label."""
    from avel_tf.synthesis.dataset import SynthesisSettings, make_clip
    from avel_tf.synthesis.writer import write_video

    settings = SynthesisSettings(seconds=60, width=96, height=72, frame_rate=4.0)
    frames, waveform, _ = make_clip(0, settings)
    path = tmp_path_factory.mktemp("minute") / "minute.mp4"
    write_video(path, frames, waveform, frame_rate=4.0)
    return path.read_bytes()


def test_an_upload_counts_its_seconds(
    server: Served, minute: bytes, open_page: Callable[..., Any]
) -> None:
    page = open_page(server.url, prepare=lambda page: page.add_init_script(RECORD))
    upload(page, file_of("minute.mp4", minute))
    page.get_by_role("link", name="minute.mp4").click()
    page.get_by_role("heading", name="minute.mp4").wait_for()
    texts = " ".join(page.evaluate("window.texts"))
    assert "of 60 s" in texts
    page.get_by_role("button", name="Remove minute.mp4").click()
    page.get_by_role("link", name="minute.mp4").wait_for(state="detached")


def test_files_are_dropped_on_the_page(server: Served, open_page: Callable[..., Any]) -> None:
    page = open_page(server.url)
    clip = list((server.folder / "00001.mp4").read_bytes())
    page.evaluate(
        """(bytes) => {
          const dataTransfer = new DataTransfer();
          dataTransfer.items.add(new File([new Uint8Array(bytes)], 'dropped.mp4'));
          for (const type of ['dragover', 'drop']) {
            document.querySelector('main').dispatchEvent(
              new DragEvent(type, { dataTransfer, bubbles: true, cancelable: true }));
          }
        }""",
        clip,
    )
    page.get_by_role("link", name="dropped.mp4").wait_for()
    page.get_by_role("button", name="Remove dropped.mp4").click()
    page.get_by_role("link", name="dropped.mp4").wait_for(state="detached")


def test_files_of_the_folder_are_chosen(server: Served, open_page: Callable[..., Any]) -> None:
    page = open_page(server.url)
    page.get_by_role("button", name="From folder").click()
    page.get_by_label("00001.mp4").check()
    page.get_by_role("button", name="Add").click()
    page.get_by_role("link", name="00001.mp4").wait_for()
    page.get_by_role("button", name="Remove 00001.mp4").click()
    page.get_by_role("link", name="00001.mp4").wait_for(state="detached")


def test_a_broken_file_has_its_reason(server: Served, open_page: Callable[..., Any]) -> None:
    page = open_page(server.url)
    upload(page, file_of("broken.mp4", b"\0\0\0\x18ftypmp42" + bytes(2000)))
    row = page.get_by_role("listitem").filter(has_text="broken.mp4")
    row.get_by_text("quarantined").wait_for()
    assert row.locator(".reason").inner_text()
    # A mouse click may be repeated if the list is drawn anew in its midst, when the row is gone.
    row.get_by_role("button", name="Remove").dispatch_event("click")
    row.wait_for(state="detached")


def test_a_late_answer_does_not_undo_an_event(
    server: Served, open_page: Callable[..., Any]
) -> None:
    def answer_late(route: Any) -> None:
        record = route.fetch().json()
        path = f"/videos/{record['id']}"
        wait_until(lambda: server.get(path)["status"] == "quarantined")
        # As if it had been read before the end of the job.
        route.fulfill(json={**record, "status": "running", "reason": None})

    page = open_page(
        server.url, prepare=lambda page: page.route("**/api/v1/videos/*", answer_late, times=1)
    )
    upload(page, file_of("late.mp4", b"\0\0\0\x18ftypmp42" + bytes(2000)))
    row = page.get_by_role("listitem").filter(has_text="late.mp4")
    row.get_by_text("quarantined").wait_for()
    wait_for(page, "!document.querySelector('progress')")  # the upload is over, too
    row.get_by_text("quarantined").wait_for()
    row.get_by_role("button", name="Remove").dispatch_event("click")
    row.wait_for(state="detached")


@pytest.mark.parametrize("status", [413, 503])
def test_a_refusal_is_explained(server: Served, open_page: Callable[..., Any], status: int) -> None:
    left = [1]

    def refuse_once(route: Any) -> None:
        if route.request.method == "POST" and left:
            left.pop()
            body = {"error": {"message": "Refused for a test.", "type": "invalid"}}
            route.fulfill(status=status, body=json.dumps(body), headers={"Retry-After": "1"})
        else:
            route.continue_()

    page = open_page(server.url, prepare=lambda page: page.route("**/api/v1/videos", refuse_once))
    upload(page, file_of("clip.mp4", (server.folder / "00001.mp4").read_bytes()))
    page.get_by_text("Refused for a test.").wait_for()
    if status == 413:
        page.get_by_role("button", name="Retry").click()
    # After 503 the page tries again by itself.
    page.get_by_role("link", name="clip.mp4").wait_for()
    page.get_by_role("button", name="Remove clip.mp4").click()
    page.get_by_role("link", name="clip.mp4").wait_for(state="detached")


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Served]:
    """A server that a test may stop, with a fake model."""
    with serve(None, tmp_path) as served:
        yield served


def test_the_queue_survives_a_killed_server(
    own_server: Served, open_page: Callable[..., Any]
) -> None:
    page = open_page(own_server.url)
    upload(page, file_of("one.mp4", b"brief"), file_of("two.mp4", b"brief"))
    page.get_by_text("labelling", exact=False).first.wait_for()
    wait_until(lambda: len(own_server.get("/videos")["videos"]) == 2)
    own_server.process.kill()
    page.get_by_text("No connection to the server").wait_for()
    own_server.restart()
    for name in ("one.mp4", "two.mp4"):
        page.get_by_role("link", name=name).wait_for()
    page.get_by_text("No connection to the server").wait_for(state="hidden")
    page.get_by_role("link", name="two.mp4").click()
    page.get_by_role("heading", name="two.mp4").wait_for()


def test_a_job_is_cancelled(own_server: Served, open_page: Callable[..., Any]) -> None:
    page = open_page(own_server.url)
    upload(page, *(file_of(f"{number}.mp4", b"slow") for number in range(4)))
    page.get_by_role("button", name="Cancel 3.mp4").click()
    row = page.get_by_role("listitem").filter(has_text="3.mp4")
    row.get_by_text("cancelled").wait_for()
    assert {each["name"]: each["status"] for each in own_server.get("/videos")["videos"]}[
        "3.mp4"
    ] == "cancelled"


def test_a_token_is_asked_for(tmp_path: Path, open_page: Callable[..., Any]) -> None:
    with serve(None, tmp_path, AVEL_TOKEN=TOKEN) as served:
        page = open_page(served.url)
        page.get_by_label("Token of the server").fill("wrong")
        page.get_by_role("button", name="Log in").click()
        page.get_by_role("alert").get_by_text("The token is wrong.").wait_for()
        page.get_by_label("Token of the server").fill(TOKEN)
        page.get_by_role("button", name="Log in").click()
        page.get_by_text("No videos yet.").wait_for()
        assert page.get_by_role("dialog").count() == 0
        wait_for(page, "document.cookie === ''")  # scripts cannot read it
        page.reload()
        page.get_by_text("No videos yet.").wait_for()
