"""avel infer: label every second of files and folders."""

from __future__ import annotations

import argparse
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from avel_tf.commands.common import add_config_arguments, config_of

if TYPE_CHECKING:
    from avel_tf.results import Result


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("paths", nargs="+", metavar="PATH", help="files, and folders of any depth")
    parser.add_argument("--model", type=Path, required=True, metavar="SAVED_MODEL")
    parser.add_argument("--out", type=Path, required=True, metavar="RESULTS")
    parser.add_argument(
        "--formats", default="jsonl,csv,vtt", help="any of jsonl,csv,vtt (default: all)"
    )
    add_config_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """One line for every input; 2 when some are partial or quarantined."""
    from avel_tf.commands.common import Progress, load_tensorflow
    from avel_tf.formats import check_formats, write_formats
    from avel_tf.inference.inputs import find_inputs

    formats = check_formats(each.strip() for each in options.formats.split(",") if each.strip())
    # The line per input is the record that every other format, and avel report, derives from.
    formats = ("jsonl", *(name for name in formats if name != "jsonl"))
    config = config_of(options)
    if not any(os.path.lexists(path) for path in options.paths):
        raise ValueError(f"There is no such file or folder: {', '.join(options.paths)}")
    inputs = find_inputs(options.paths)
    if not inputs:
        raise ValueError(f"There are no video files in {', '.join(options.paths)}.")
    load_tensorflow()
    from avel_tf.inference.localizer import Localizer

    localizer = Localizer(
        options.model, inference=config.inference, data=config.data, media=config.media
    )
    counts: Counter[str] = Counter()

    def counted() -> Iterator[Result]:
        with Progress("labelling", "files") as progress:
            for result in localizer.localize_files(inputs, progress=progress):
                counts[result.status] += 1
                yield result

    written = write_formats(formats, counted(), options.out)
    print(
        f"{len(inputs)} files: "
        + ", ".join(f"{counts[status]} {status}" for status in ("ok", "partial", "quarantined"))
    )
    print("Results: " + ", ".join(str(path) for path in written.values()))
    return 0 if counts["ok"] == len(inputs) else 2
