"""Output formats, one file each: `FORMATS` lists them."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from avel_tf.events.formats.activitynet import write_activitynet
from avel_tf.events.formats.audacity import write_audacity
from avel_tf.events.formats.chapters import write_chapters
from avel_tf.events.formats.csv import write_csv
from avel_tf.events.formats.dcase import write_dcase
from avel_tf.events.formats.eaf import write_eaf
from avel_tf.events.formats.edl import write_edl
from avel_tf.events.formats.fiftyone import write_fiftyone
from avel_tf.events.formats.jsonl import write_jsonl
from avel_tf.events.formats.labelstudio import write_labelstudio
from avel_tf.events.formats.mirror import Mirror
from avel_tf.events.formats.otio import write_otio
from avel_tf.events.formats.parquet import write_parquet
from avel_tf.events.formats.raven import write_raven
from avel_tf.events.formats.seconds import write_seconds
from avel_tf.events.formats.srt import write_srt
from avel_tf.events.formats.textgrid import write_textgrid
from avel_tf.events.formats.vtt import write_vtt
from avel_tf.events.result import Result, read_results
from avel_tf.utils.durable_files import atomic_text
from avel_tf.utils.text import did_you_mean


@dataclass(frozen=True)
class Format:
    """An output format.

    Args:
        write: Writes results to a text file.
        per_video: True if a file holds one result. A run then writes a folder with the name of the
            format, in which the folders of the videos are mirrored; else `results.SUFFIX`.
        suffix: Suffix of the files; the name of the format when empty.
    """

    write: Callable[[Iterable[Result], TextIO], None]
    per_video: bool = False
    suffix: str = ""


FORMATS = {
    "jsonl": Format(write_jsonl),
    "csv": Format(write_csv),
    "seconds": Format(write_seconds, suffix="seconds.csv"),
    "vtt": Format(write_vtt, per_video=True),
    "srt": Format(write_srt, per_video=True),
    "parquet": Format(write_parquet),
    "dcase": Format(write_dcase, suffix="dcase.tsv"),
    "activitynet": Format(write_activitynet, suffix="activitynet.json"),
    "fiftyone": Format(write_fiftyone, suffix="fiftyone.json"),
    "labelstudio": Format(write_labelstudio, suffix="labelstudio.json"),
    "raven": Format(write_raven, suffix="raven.txt"),
    "eaf": Format(write_eaf, per_video=True),
    "textgrid": Format(write_textgrid, per_video=True, suffix="TextGrid"),
    "audacity": Format(write_audacity, per_video=True, suffix="txt"),
    "edl": Format(write_edl, per_video=True),
    "otio": Format(write_otio, per_video=True),
    "chapters": Format(write_chapters, per_video=True, suffix="ffmetadata"),
}


def file_suffix(name: str) -> str:
    """Suffix of the files of a format, without the leading dot."""
    return FORMATS[name].suffix or name


def check_formats(names: Iterable[str], *, also: Sequence[str] = ()) -> tuple[str, ...]:
    """Check the names of formats before any work is done.

    Args:
        names: Names from `FORMATS`.
        also: Further names that the caller handles.

    Returns:
        The names in their order, each once.

    Raises:
        ValueError: A format is unknown.
    """
    names, known = tuple(dict.fromkeys(names)), [*FORMATS, *also]
    for name in names:
        if name not in known:
            raise ValueError(
                f"Unknown output format. Received: {name!r}; expected one of "
                f"{', '.join(known)}.{did_you_mean(name, known)}"
            )
    return names


def write_formats(
    names: Iterable[str], results: Iterable[Result], folder: str | Path
) -> dict[str, Path]:
    """Write the same results in several formats.

    The results are read once and are never all in memory: the other formats are written from the
    lines of `results.jsonl`, a temporary one if `jsonl` is not among the names.

    Args:
        names: Names from `FORMATS`.
        results: The results; may be a generator.
        folder: Folder of the files; created if it is missing.

    Returns:
        The file or folder of each format, by name.

    Raises:
        ValueError: A format is unknown; nothing is written then.

    Example:
        >>> write_formats(["jsonl", "csv"], localizer.localize_directory("videos"), "RESULTS")
        {'jsonl': PosixPath('RESULTS/results.jsonl'), 'csv': PosixPath('RESULTS/results.csv')}
    """
    names = check_formats(names)
    folder = Path(folder)
    with tempfile.TemporaryDirectory() as scratch:
        lines = _write(results, folder if "jsonl" in names else Path(scratch), "jsonl")
        return {
            name: lines if name == "jsonl" else _write(read_results(lines), folder, name)
            for name in names
        }


def write_result(result: Result, path: str | Path, name: str | None = None) -> Path:
    """Write one result to a file; see `Result.save`."""
    path = Path(path)
    if name is None:
        name = path.suffix.removeprefix(".").lower()
        if not name:
            raise ValueError(
                f"The name {path} has no suffix, so its format is unknown. Expected one of "
                f"{', '.join(f'.{each}' for each in FORMATS)}, or an argument format."
            )
    (name,) = check_formats([name])
    with atomic_text(path) as file:
        FORMATS[name].write([result], file)
    return path


def remove_video_files(folder: Path) -> None:
    """Remove the files that an earlier run wrote for each video; other files stay.

    Args:
        folder: The results folder.
    """
    for name, each in FORMATS.items():
        if each.per_video:
            for parent, _, files in os.walk(folder / name, topdown=False):
                for file in files:
                    if file.endswith(f".{file_suffix(name)}"):
                        os.unlink(os.path.join(parent, file))
                with contextlib.suppress(OSError):  # the folder is not empty
                    os.rmdir(parent)


def _write(results: Iterable[Result], folder: Path, name: str) -> Path:
    """Write `folder/results.SUFFIX`, or a file per video below `folder/NAME`."""
    write, suffix = FORMATS[name].write, file_suffix(name)
    if not FORMATS[name].per_video:
        with atomic_text(folder / f"results.{suffix}") as file:
            write(results, file)
        return folder / f"results.{suffix}"
    mirror = Mirror(f".{suffix}")
    (folder / name).mkdir(parents=True, exist_ok=True)
    for result in results:
        with atomic_text(folder / name / mirror.place(result.video)) as file:
            write([result], file)
    return folder / name
