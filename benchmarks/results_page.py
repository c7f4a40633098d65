"""Size of a results page, and the time until Chromium shows its list, with made results.

    python benchmarks/results_page.py --videos 5000

Needs Playwright and Chromium. Each video has ten seconds and an event or two; every tenth is
quarantined or partial. Prints a row of the table in docs/guide/reports.md for each number.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from avel_tf.events.event import Event
from avel_tf.events.formats import write_formats
from avel_tf.events.result import Result, Segment
from avel_tf.reports.results_report import write_results_report

CLASSES = [f"class {number}" for number in range(28)]
REASONS = ("it is empty", "its header is broken", "no video track, only audio")
SECONDS = 10


def made_results(videos: int) -> Iterator[Result]:
    """Results drawn with a fixed seed."""
    draw = random.Random(1)
    for number in range(videos):
        name = f"/videos/folder {number % 50}/recording {number:06d}.mp4"
        if number % 10 == 9:
            reason = f'Cannot read "{name}": {draw.choice(REASONS)}.'
            yield Result(name, "quarantined", reason, model="made/1")
            continue
        label, start = draw.choice(CLASSES), draw.randrange(SECONDS - 3)
        end = draw.randrange(start + 1, SECONDS + 1)
        seconds = tuple(
            Segment(s, s + 1, label if start <= s < end else "background", draw.random())
            for s in range(SECONDS)
        )
        event = Event(label, start, end, draw.random())
        yield Result(name, "ok", None, float(SECONDS), seconds, (event,), "made/1")


def seconds_until_shown(page: Path) -> float:
    """Seconds from opening a page in Chromium until its list has rows."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu"]
        )
        tab = browser.new_page()
        began = time.monotonic()
        tab.goto(page.absolute().as_uri(), wait_until="commit")
        tab.wait_for_selector("[role=option]")
        shown = time.monotonic() - began
        browser.close()
    return shown


def main() -> None:
    """Measure pages of the numbers of videos that are given."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--videos", type=int, nargs="+", default=[5000])
    options = parser.parse_args()
    print("| videos | page, MB | written in, s | list shown after, s |\n|---|---|---|---|")
    for videos in options.videos:
        with tempfile.TemporaryDirectory() as folder:
            write_formats(["jsonl"], made_results(videos), Path(folder))
            began = time.monotonic()
            page = write_results_report(Path(folder))
            written = time.monotonic() - began
            size = page.stat().st_size / 1e6
            shown = min(seconds_until_shown(page) for _ in range(3))
            print(f"| {videos:,} | {size:.1f} | {written:.1f} | {shown:.2f} |", flush=True)


if __name__ == "__main__":
    main()
