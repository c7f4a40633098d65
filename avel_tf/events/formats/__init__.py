"""Output formats, one file each: `FORMATS` names them, `write_formats` writes several at once."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from avel_tf.events.formats.csv import write_csv
from avel_tf.events.formats.jsonl import write_jsonl
from avel_tf.events.formats.vtt import write_vtt
from avel_tf.events.labels import did_you_mean
from avel_tf.events.result import Result, read_results

Writer = Callable[[Iterable[Result], Path], Path]

FORMATS: dict[str, Writer] = {"jsonl": write_jsonl, "csv": write_csv, "vtt": write_vtt}


def check_formats(names: Iterable[str], *, also: Sequence[str] = ()) -> tuple[str, ...]:
    """The names of formats, each once, or an error before any work is done.

    Args:
        names: Names from `FORMATS`.
        also: Further names that the caller sees to.

    Returns:
        The names in their order, each once.

    Raises:
        ValueError: If a format is unknown.
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

    The results are taken once, as they come, and are never all in memory: the other formats are
    written from the lines of `results.jsonl` (a temporary one where it is not asked for).

    Args:
        names: Names from `FORMATS`.
        results: The results; a generator will do.
        folder: Where the files go; made when it is missing.

    Returns:
        What each format wrote, by name.

    Raises:
        ValueError: If a format is unknown; nothing is written then.

    Example:
        >>> write_formats(["jsonl", "csv"], localizer.localize_directory("videos"), "RESULTS")
        {'jsonl': PosixPath('RESULTS/results.jsonl'), 'csv': PosixPath('RESULTS/results.csv')}
    """
    names = check_formats(names)
    folder = Path(folder)
    with tempfile.TemporaryDirectory() as scratch:
        record = write_jsonl(results, folder if "jsonl" in names else Path(scratch))
        return {
            name: record if name == "jsonl" else FORMATS[name](read_results(record), folder)
            for name in names
        }
