"""HTML page of the results of `avel infer`: a list of all videos with their seconds and events."""

from __future__ import annotations

import base64
import hashlib
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from avel_tf.datasets import Annotation
from avel_tf.events.result import STATUSES, Result
from avel_tf.events.result_shards import RESULTS, SHARDS, has_results, read_all_results
from avel_tf.reports.html import data_block, render_page
from avel_tf.reports.results_data import ClassColours, ListData
from avel_tf.reports.thumbnails import Thumbnails, make_thumbnails
from avel_tf.reports.video_names import absolute
from avel_tf.reports.video_view import VideoView
from avel_tf.utils.durable_files import atomic_text
from avel_tf.utils.storage import is_remote
from avel_tf.utils.text import printable
from avel_tf.video.decode import DecodeSettings

# Videos listed without JavaScript.
MOST_PLAIN_VIDEOS = 100
# Examples named for each reason of a failure.
MOST_EXAMPLES = 5

Reference = Mapping[str, Sequence[tuple[str, float, float]]]


def write_results_report(
    folder: str | Path,
    *,
    out: Path | None = None,
    reference: Reference | None = None,
    title: str | None = None,
    thumbnails: int = 0,
    media: DecodeSettings | None = None,
) -> Path:
    """Write `index.html` for a folder of results.

    Args:
        folder: RESULTS, with its `results.jsonl` or shards, which are read line by line; or a
            bucket with shards.
        out: The page to write; `index.html` in the folder when None, where that is no bucket. The
            players point from there to the videos.
        reference: Annotated events of each video as (label, start, end), in seconds. Keys are paths
            as in the results, or absolute. An empty list means a video of background only. Videos
            without an entry are shown without annotations.
        title: Heading of the page.
        thumbnails: Largest number of events with a thumbnail, for which their videos are decoded.
        media: Limits of the decoder for the thumbnails.

    Returns:
        Path of the page.

    Raises:
        ValueError: If there are no results, or a line is invalid, or if `reference` has none of
            the videos, or if `folder` is a bucket and `out` is None.

    Example:
        >>> write_results_report(Path("RESULTS"), reference={"dog.mp4": [("Bark", 2, 7)]})
        PosixPath('RESULTS/index.html')
    """
    require_results(folder)
    page = page_path(folder, "index.html") if out is None else Path(out)
    truths = absolute_reference(reference, page.parent)
    made = make_thumbnails(read_all_results(folder), thumbnails, page.parent, media)
    summary, data = Summary(), ListData(page.parent, ("predicted", "annotated"), (made.images,))
    plain: list[VideoView] = []
    first: str | None = None
    annotated = False
    for result in read_all_results(folder):
        first = first or result.video
        truth = truths.get(absolute(result.video, page.parent))
        annotated = annotated or truth is not None
        view = VideoView(result, truth)
        failure = summary.add(view)
        data.add([view], truth=truth is not None, reason=failure)
        if len(plain) < MOST_PLAIN_VIDEOS:
            plain.append(view)
    if truths and not annotated:
        raise ValueError(
            f"The annotations match none of the videos in {folder}. Received: "
            f"{printable(next(iter(reference or ())))!r} among others; expected paths such as "
            f"{printable(first) if first else 'those of the results'!r}."
        )
    write_page(
        page,
        title or f"Events in {count_text(sum(summary.statuses.values()), 'video')}",
        data,
        summary,
        plain=plain,
        thumbnails=made,
        record=RESULTS if (Path(folder) / RESULTS).is_file() else SHARDS,
        total=summary.statuses.total(),
    )
    return page


def require_results(folder: str | Path) -> None:
    """Check that a folder or a bucket has results.

    Raises:
        ValueError: It has none.
    """
    if not has_results(folder):
        where = "shards of results" if is_remote(str(folder)) else RESULTS
        raise ValueError(
            f"{folder} has no {where}. avel infer PATH --model SAVED_MODEL --out {folder} writes "
            "them."
        )


def page_path(folder: str | Path, name: str) -> Path:
    """Path of a page in a results folder.

    Raises:
        ValueError: The results are in a bucket.
    """
    if is_remote(str(folder)):
        raise ValueError(f"{folder} is a bucket; expected a folder for the page. Give --out DIR.")
    return Path(folder) / name


def absolute_reference(
    reference: Reference | None, page_folder: Path
) -> dict[str, list[Annotation]]:
    """Annotations by absolute path of their video."""
    return {
        absolute(os.fsdecode(video), page_folder): [Annotation(*event) for event in events]
        for video, events in (reference or {}).items()
    }


@dataclass
class Failure:
    """Videos that are partial or quarantined for the same reason.

    Attributes:
        number: Number in the data of the page.
        reason: The reason of the first of them, without the name of the file.
        videos: Number of videos by status.
        examples: Names of the first ones.
    """

    number: int
    reason: str
    videos: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)


@dataclass
class Summary:
    """Counts over all results, including those that the list omits."""

    statuses: Counter[str] = field(default_factory=Counter)
    seconds: Counter[str] = field(default_factory=Counter)  # predicted
    events: Counter[str] = field(default_factory=Counter)
    videos: Counter[str] = field(default_factory=Counter)
    models: dict[str, None] = field(default_factory=dict)
    failures: dict[str, Failure] = field(default_factory=dict)
    decoded: int = 0
    right: int = 0
    compared: int = 0

    def add(self, view: VideoView) -> int | None:
        """Count a result; returns the number of the reason of its failure, None if it is ok."""
        result = view.result
        self.statuses[result.status] += 1
        self.events.update(event.label for event in result.events)
        self.videos.update(view.classes)
        self.seconds.update(name for cell in view.cells for name in cell.found or ())
        self.decoded += len(result.seconds)
        if result.model is not None:
            self.models.setdefault(result.model)
        marks = [cell.right for cell in view.cells if cell.right is not None]
        self.compared += len(marks)
        self.right += sum(marks)
        if result.status == "ok":
            return None
        key, reason = reason_group(result)
        failure = self.failures.setdefault(key, Failure(len(self.failures), reason))
        failure.videos[result.status] += 1
        if len(failure.examples) < MOST_EXAMPLES:
            failure.examples.append(view.name or result.video)
        return failure.number

    @property
    def hours(self) -> float:
        """Decoded hours of video."""
        return self.decoded / 3600

    @property
    def classes(self) -> list[str]:
        """Classes of the events, the most frequent first."""
        return sorted(self.videos, key=lambda name: (-self.events[name], -self.seconds[name], name))

    @property
    def sorted_failures(self) -> list[Failure]:
        """Reasons, the most frequent first."""
        return sorted(self.failures.values(), key=lambda each: -each.videos.total())


def reason_group(result: Result) -> tuple[str, str]:
    """Key of the reason of a result, equal for the same cause in other files; and the reason.

    The name of the file is left out, and numbers do not distinguish reasons.

    Example:
        >>> reason_group(Result("a.mp4", "quarantined", 'Cannot read "a.mp4": it is empty.'))
        ('it is empty.', 'it is empty.')
    """
    reason = (result.reason or "").replace(f'Cannot read "{printable(result.video)}": ', "")
    return re.sub(r"\d[\d.,]*", "#", reason), reason


def write_page(
    page: Path,
    title: str,
    data: ListData,
    summary: Summary,
    *,
    plain: Sequence[VideoView] = (),
    thumbnails: Thumbnails | None = None,
    comparison: object = None,
    record: str,
    total: int,
) -> None:
    """Write a page with a list of videos from the template `results.html`."""
    text = render_page(
        "results.html",
        title=title,
        data=data_block(data.to_dict()),
        statuses=[(status, summary.statuses[status]) for status in STATUSES],
        summary=summary,
        thumbnails=thumbnails,
        comparison=comparison,
        plain=plain,
        videos=len(data),
        total=total,
        colours=ClassColours(data.class_seconds),
        record=record,
        shown=printable,
        count=count_text,
        script_hash=_script_hash,
    )
    with atomic_text(page) as file:
        file.write(text)


def _script_hash(script: str) -> str:
    """Hash of the script for the Content-Security-Policy."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def count_text(number: int, noun: str) -> str:
    """A number with its noun: `1 video`, `2,000 videos`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
