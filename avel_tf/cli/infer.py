"""avel infer: label every second of files and folders."""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from avel_tf.cli.common import Progress, add_config_arguments, add_engine_argument, config_of
from avel_tf.cli.paths import output_folder

if TYPE_CHECKING:
    from avel_tf.config import Config
    from avel_tf.engines.selection import EngineChoice
    from avel_tf.events.result import Result
    from avel_tf.export.exported_model import ExportedModel
    from avel_tf.inference.run_journal import RunJournal

DEFAULT_OUT = Path("results")
# The page of `avel report`, as a format among the others.
PAGE = "html"
# What a person reads on a terminal; all of it stands in the results.
MOST_FILES_SHOWN = 10
MOST_EVENTS_SHOWN = 10
# Settings that affect no result, so an interrupted run may resume with other values.
INDIFFERENT = ("media.threads", "inference.live_lookahead_seconds")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument(
        "paths",
        nargs="+",
        metavar="PATH",
        help="files, and folders of any depth; or one live stream: - for standard input, or, with "
        "--live, an address",
    )
    parser.add_argument(
        "--model",
        type=Path,
        metavar="SAVED_MODEL",
        help="a model written by avel export (default: the model that comes with avel-tf; its "
        "classes and accuracy are printed)",
    )
    parser.add_argument(
        "--out",
        type=output_folder,
        default=str(DEFAULT_OUT),
        metavar="RESULTS",
        help=f"results folder; an interrupted run resumes there (default: {DEFAULT_OUT}/)",
    )
    parser.add_argument(
        "--formats",
        default="jsonl,csv,vtt,html",
        help="any of jsonl,csv,vtt,html (default: all); html is the page of avel report",
    )
    parser.add_argument(
        "--live",
        action="store_true",
        help="PATH is a live stream: - or an rtsp:// or udp:// address; prints a line of JSON for "
        "each second",
    )
    add_engine_argument(parser)
    parser.add_argument(
        "--fresh", action="store_true", help="discard the results of an earlier run in RESULTS"
    )
    parser.add_argument(
        "--trust-model",
        action="store_true",
        help="use a model whose files do not match its manifest",
    )
    add_config_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """One line for every input; 2 when some are partial or quarantined, 130 when interrupted."""
    from avel_tf.cli.live import check_folder, is_live, run_live
    from avel_tf.events.formats import check_formats, write_formats
    from avel_tf.export.exported_model import ExportedModel
    from avel_tf.inference.batch import localize_into_journal
    from avel_tf.inference.localizer import Localizer
    from avel_tf.inference.run_journal import RunJournal

    names = check_formats(
        (each.strip() for each in options.formats.split(",") if each.strip()), also=[PAGE]
    )
    # The line per input is the record that every other format, and avel report, derives from.
    formats = ("jsonl", *(name for name in names if name not in ("jsonl", PAGE)))
    config = config_of(options)
    live = is_live(options)
    if live:
        check_folder(options.out, fresh=options.fresh)
    skipped: list[str] = []  # what a Mac notes about other files
    inputs = [] if live else _inputs(options.paths, skipped)
    model = ExportedModel(options.model or _pretrained(live=live))
    if not options.trust_model:
        model.check()
    localizer = Localizer(
        model,
        inference=config.inference,
        data=config.data,
        media=config.media,
        engine=config.engine,
    )
    if live:
        return run_live(options, localizer, formats)
    engine = localizer.choose_engine(inputs)
    print(f"Engine: {engine.description}")
    setup = _setup(model, config, engine)
    counts: Counter[str] = Counter()
    shown: list[Result] = []

    def counted(journal: RunJournal) -> Iterator[Result]:
        for result in journal.results():
            counts[result.status] += 1
            if len(inputs) <= MOST_FILES_SHOWN:
                shown.append(result)
            yield result

    with RunJournal(
        options.out,
        inputs,
        setup=setup,
        model=model.name,
        fresh=options.fresh,
        follow_links=config.media.follow_links,
    ) as journal:
        before = journal.done
        with Progress("labelling", "files") as progress:
            complete = localize_into_journal(localizer, journal, progress=progress)
        try:
            written = write_formats(formats, counted(journal), options.out)
            if PAGE in names:
                from avel_tf.reports.results_report import write_results_report

                written[PAGE] = write_results_report(options.out)
        except OSError as error:
            raise OSError(
                f"The results cannot be written to {options.out}: {error.strerror or error}. Mend "
                "that, and run the same command again; the labels are kept in its ledger."
            ) from error
    for result in shown:
        print(_said(result))
    done = sum(counts.values())
    print(
        f"{done} file{'' if done == 1 else 's'}: "
        + ", ".join(f"{counts[status]} {status}" for status in ("ok", "partial", "quarantined"))
        + (f" ({before} of them done before)" if before else "")
    )
    if skipped:
        print(
            f"{len(skipped)} file{'' if len(skipped) == 1 else 's'} named ._* skipped: a Mac keeps "
            "notes about other files there, no video"
        )
    print("Results: " + ", ".join(str(path) for name, path in written.items() if name != PAGE))
    if PAGE in written:
        print(f"To look at: {written[PAGE]}")
    if not complete:
        print(f"Interrupted; the same command does the other {len(inputs) - done} files.")
        return 130
    return 0 if counts["ok"] == len(inputs) else 2


def _said(result: Result) -> str:
    """One-line summary of a file's result."""
    from avel_tf.reports.video_names import shown_name
    from avel_tf.reports.video_view import span_text

    found = [
        f"{shown_name(event.label)} {span_text(event.start, event.end)} ({event.score:.2f})"
        for event in result.events[:MOST_EVENTS_SHOWN]
    ]
    if len(result.events) > MOST_EVENTS_SHOWN:
        found.append(f"{len(result.events) - MOST_EVENTS_SHOWN} more")
    if not found and result.status != "quarantined":
        found.append("nothing that the model knows is both heard and seen")
    if result.reason:
        found.append(f"{result.status}: {shown_name(result.reason)}")
    return f"{shown_name(result.video)}: {'; '.join(found)}"


def _inputs(paths: list[str], skipped: list[str]) -> list[str]:
    from avel_tf.inference.inputs import find_inputs
    from avel_tf.reports.video_names import shown_name
    from avel_tf.video.video_files import similar_name

    named = ", ".join(map(shown_name, paths))
    if not any(os.path.lexists(path) for path in paths):
        near = similar_name(paths[0])
        hint = f". The nearest name there is {near!r}." if near else ""
        raise ValueError(f"There is no such file or folder: {named}{hint}")
    inputs = find_inputs(paths, skipped=skipped)
    if not inputs:
        notes = f", only {len(skipped)} named ._*, a Mac's notes about others" if skipped else ""
        raise ValueError(f"There are no video files in {named}{notes}.")
    return inputs


def _pretrained(*, live: bool) -> Path:
    """The model that comes with the package, which says what it knows."""
    from avel_tf.pretrained import describe, find_pretrained

    model = find_pretrained()
    # A live stream's standard output is for its seconds alone.
    print(*describe(model), sep="\n", file=sys.stderr if live else sys.stdout, flush=True)
    return model


def _setup(model: ExportedModel, config: Config, engine: EngineChoice) -> dict[str, Any]:
    """Settings that affect results and so must not change within a results folder."""
    from avel_tf import __version__

    setup: dict[str, Any] = {
        "avel_tf": __version__,
        "model": model.name,
        "model sha256": model.fingerprint,
        "engine": engine.description,
        "engine.batch_pictures": config.engine.batch_pictures,
    }
    for section, settings in (("inference", config.inference), ("media", config.media)):
        for key, value in dataclasses.asdict(settings).items():
            setup[f"{section}.{key}"] = value
    return {key: value for key, value in setup.items() if key not in INDIFFERENT}
