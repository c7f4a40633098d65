"""Defects of the files themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from avel_tf.datasets import Dataset
from avel_tf.datasets.audit.file_facts import FileFacts
from avel_tf.datasets.audit.report import Finding
from avel_tf.video.video_files import similar_name

# A segment is labelled by its middle, so a difference of less than half a second changes no label.
TOLERANCE_S = 0.5


def check_files(
    dataset: Dataset, facts: Mapping[Path, FileFacts], seconds: int | None
) -> Iterator[Finding]:
    """Checks for files that are missing, damaged or unsuitable for training.

    Args:
        dataset: The data set.
        facts: Properties of its files.
        seconds: Expected length of each file in seconds; None if lengths may differ.

    Yields:
        One finding per kind of defect.
    """
    files = {video.path: video.media_id for video in dataset.videos}

    def finding(
        kind: str, severity: str, title: str, advice: str, judge: Callable[[FileFacts], str | None]
    ) -> Iterator[Finding]:
        judged = ((name, judge(facts[path])) for path, name in files.items())
        items = tuple((name, detail) for name, detail in judged if detail is not None)
        if items:
            yield Finding(kind, severity, title.format(_files(len(items))), advice, items)

    missing = [path for path in files if not facts[path].exists]
    if missing:
        yield Finding(
            "missing-file",
            "error",
            f"{_files(len(missing))} cannot be found, of {len(files):,}.",
            "Add the videos, or remove their rows from the annotations.",
            tuple((files[path], _expected(path)) for path in missing),
        )
    yield from finding(
        "unreadable-file",
        "error",
        "{} cannot be read.",
        "Download or convert them again, or remove their rows from the annotations.",
        lambda file: file.error,
    )
    yield from finding(
        "damaged-file",
        "error",
        "{} can be read only in part.",
        "Download or convert them again; until then the lost segments are left out.",
        lambda file: file.problem,
    )
    yield from finding(
        "too-short",
        "error",
        f"{{}} shorter than {TOLERANCE_S} s.",
        "Most of their only segment is silence and a held frame; remove their rows from the "
        "annotations.",
        lambda file: _shorter(file, TOLERANCE_S),
    )
    yield from finding(
        "no-sound",
        "warning",
        "{} without an audio track.",
        "Audio-visual events cannot be learned from them; remove their rows.",
        lambda file: "no audio track" if _readable(file) and not file.has_sound else None,
    )
    yield from finding(
        "silent-sound",
        "warning",
        "{} with an audio track that is silent throughout.",
        "Check the recording; its labels cannot be learned from silence.",
        lambda file: "peak below -60 dBFS" if file.silent else None,
    )
    yield from finding(
        "unusual-tracks",
        "note",
        "{} with unusual tracks.",
        "Check that video and audio belong together; media.audio_track selects another track.",
        lambda file: file.remark,
    )
    yield from finding(
        "black-picture",
        "warning",
        "{} with video that is black throughout.",
        "Check the recording; its labels cannot be learned from black frames.",
        lambda file: "no pixel above black" if file.black else None,
    )
    yield from _check_tracks(files, facts)
    if seconds is not None:
        yield from finding(
            "short-clip",
            "note",
            f"{{}} shorter than {seconds} s.",
            "The missing segments are left out of training and evaluation.",
            lambda file: _shorter(file, seconds - TOLERANCE_S),
        )


def _check_tracks(files: Mapping[Path, str], facts: Mapping[Path, FileFacts]) -> Iterator[Finding]:
    differing = []
    for path, name in files.items():
        audio, video = facts[path].audio_duration, facts[path].video_duration
        if audio is not None and video is not None and abs(audio - video) > TOLERANCE_S:
            detail = f"audio {audio:.2f} s, video {video:.2f} s"
            differing.append((abs(audio - video), name, detail))
    differing.sort(reverse=True)
    if differing:
        yield Finding(
            "track-lengths",
            "warning",
            f"{_files(len(differing))} with audio and video of different lengths.",
            "Silence is assumed where the audio ends early, and the last frame is held where the "
            "video does; check that both are complete and in sync.",
            tuple((name, detail) for _, name, detail in differing),
        )


def _expected(path: Path) -> str:
    near = similar_name(path)
    return f"expected {path}" + (f"; the nearest name there is {near!r}" if near else "")


def _shorter(file: FileFacts, seconds: float) -> str | None:
    if file.duration is None or file.duration >= seconds:
        return None
    return f"{file.duration:.2f} s"


def _readable(file: FileFacts) -> bool:
    return file.exists and file.error is None


def _files(count: int) -> str:
    return "1 file" if count == 1 else f"{count:,} files"
