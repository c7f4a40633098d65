"""HTML page of the results of `avel infer`: each video with its seconds and events."""

from __future__ import annotations

import base64
import hashlib
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from avel_tf.datasets import Annotation
from avel_tf.events.labels import BACKGROUND
from avel_tf.events.result import STATUSES, Result
from avel_tf.events.result_shards import RESULTS, SHARDS, has_results, read_all_results
from avel_tf.reports.html import render_page
from avel_tf.reports.video_names import absolute, relative_url
from avel_tf.reports.video_view import MOST_SECONDS, VideoView, clock_text, lanes, span_text
from avel_tf.utils.durable_files import atomic_text
from avel_tf.utils.text import printable

# More players make browsers slow. The page names the file with the others.
MOST_VIDEOS = 500
# About 5 MB of HTML. Further videos show their events only.
MOST_CELLS = 20_000
# Okabe and Ito's palette for colour-blind readers (Color Universal Design, 2008) without black.
# 28 colours cannot be distinguished, so hues repeat with a texture: plain, then three kinds of
# stripes.
HUES = 7
TEXTURES = 4

Reference = Mapping[str, Sequence[tuple[str, float, float]]]


def write_results_report(
    folder: Path,
    *,
    out: Path | None = None,
    reference: Reference | None = None,
    title: str | None = None,
) -> Path:
    """Write `index.html` for a folder of results.

    Args:
        folder: RESULTS, with its `results.jsonl` or shards.
        out: The page to write; `index.html` in the folder when None. The players point from
            there to the videos.
        reference: Annotated events of each video as (label, start, end), in seconds. Keys are paths
            as in the results, or absolute. An empty list means a video of background only. Videos
            without an entry are shown without annotations.
        title: Heading of the page.

    Returns:
        Path of the page.

    Raises:
        ValueError: If there are no results, or a line is invalid, or if `reference` has
            none of its videos.

    Example:
        >>> write_results_report(Path("RESULTS"), reference={"dog.mp4": [("Bark", 2, 7)]})
        PosixPath('RESULTS/index.html')
    """
    folder = Path(folder)
    if not has_results(folder):
        raise ValueError(
            f"{folder} has no results.jsonl. "
            f"avel infer PATH --model SAVED_MODEL --out {folder} writes it."
        )
    record = folder / (RESULTS if (folder / RESULTS).is_file() else SHARDS)
    page = Path(out) if out is not None else folder / "index.html"
    truths = _truths(reference, page.parent)
    summary = _Summary()
    cards: list[VideoView] = []
    annotated = False
    for result in read_all_results(folder):
        truth = truths.get(absolute(result.video, page.parent))
        annotated = annotated or truth is not None
        card = VideoView(result, truth)
        summary.add(card)
        if len(cards) < MOST_VIDEOS:
            cards.append(card)
    if truths and not annotated:
        raise ValueError(
            f"The annotations match none of the videos in {folder}. Received: "
            f"{printable(next(iter(reference or ())))!r} among others; expected paths such as "
            f"{printable(cards[0].result.video) if cards else 'those of the results'!r}."
        )
    with atomic_text(page) as file:
        file.write(_render(cards, summary, page, record, title))
    return page


class ClassColours:
    """Hue and texture of each class; the most frequent classes are plain.

    They repeat after 28 classes. The page always shows the name as well.

    Args:
        seconds: Number of seconds of each class.

    Example:
        >>> ClassColours(Counter({"Bark": 5, "Clock": 2})).css("Clock")
        'h2 t1'
    """

    def __init__(self, seconds: Counter[str]) -> None:
        self.names = sorted(seconds, key=lambda name: (-seconds[name], name))
        self._rank = {name: rank for rank, name in enumerate(self.names)}

    def number(self, name: str) -> int:
        """Rank of the class by frequency, from 0."""
        return self._rank[name]

    def css(self, name: str) -> str:
        """CSS classes of the class."""
        rank = self._rank[name]
        return f"h{rank % HUES + 1} t{rank // HUES % TEXTURES + 1}"


@dataclass
class _Summary:
    """Counts over all results, including those that the page omits."""

    statuses: Counter[str] = field(default_factory=Counter)
    seconds: Counter[str] = field(default_factory=Counter)  # predicted or annotated
    events: Counter[str] = field(default_factory=Counter)
    models: dict[str, None] = field(default_factory=dict)
    decoded: int = 0
    right: int = 0
    compared: int = 0

    def add(self, card: VideoView) -> None:
        result = card.result
        self.statuses[result.status] += 1
        self.events.update(event.label for event in result.events)
        self.seconds.update(dict.fromkeys(card.classes, 0))
        self.seconds.update(name for cell in card.cells for name in cell.found or ())
        self.decoded += len(result.seconds)
        if result.model is not None:
            self.models.setdefault(result.model)
        marks = [cell.right for cell in card.cells if cell.right is not None]
        self.compared += len(marks)
        self.right += sum(marks)


def _truths(reference: Reference | None, page_folder: Path) -> dict[str, list[Annotation]]:
    return {
        absolute(os.fsdecode(video), page_folder): [Annotation(*event) for event in events]
        for video, events in (reference or {}).items()
    }


def _render(
    cards: list[VideoView], summary: _Summary, page: Path, record: Path, title: str | None
) -> str:
    budget = MOST_CELLS
    with_strip = []
    for card in cards:
        fits = 0 < len(card.cells) <= min(MOST_SECONDS, budget)
        with_strip.append(fits)
        budget -= len(card.cells) if fits else 0
    return render_page(
        "results.html",
        title=title or f"Events in {_count(sum(summary.statuses.values()), 'video')}",
        cards=list(zip(cards, with_strip, strict=True)),
        statuses=[(status, summary.statuses[status]) for status in STATUSES],
        summary=summary,
        colours=ClassColours(summary.seconds),
        record=record.name,
        background=BACKGROUND,
        url=lambda result: _player_url(result, page.parent),
        shown=printable,
        lanes=lanes,
        span=span_text,
        clock=clock_text,
        count=_count,
        script_hash=_script_hash,
    )


def _player_url(result: Result, page_folder: Path) -> str | None:
    # Files that the decoder refused may be malicious, so the page does not load them.
    return None if result.status == "quarantined" else relative_url(result.video, page_folder)


def _script_hash(script: str) -> str:
    """Hash of the script for the Content-Security-Policy."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
