"""avel infer: label every second of files and folders."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from avel_tf.cli.common import (
    Progress,
    SetOption,
    add_config_arguments,
    add_model_arguments,
    config_of,
    format_delivery,
)
from avel_tf.cli.paths import output_folder_or_bucket
from avel_tf.utils.storage import is_remote

if TYPE_CHECKING:
    from avel_tf.events.result import Result
    from avel_tf.inference.batch import BatchSummary
    from avel_tf.inference.pipeline import InferencePipeline

DEFAULT_OUT = Path("results")
DEFAULT_FORMATS = "jsonl,csv,vtt,html"
# Limits of the summary on a terminal; the results hold everything.
MOST_FILES_SHOWN = 10
MOST_EVENTS_SHOWN = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument(
        "paths",
        nargs="*",
        metavar="PATH",
        help="files, and folders of any depth; with --ray also addresses file://, s3://, gs://, "
        "http:// and https://; or one live stream: - for standard input, or, with --live, an "
        "address",
    )
    parser.add_argument(
        "--manifest",
        metavar="FILE",
        help="further inputs: a text file with one on each line, or a Parquet file with a column "
        "video; paths are relative to the folder of FILE",
    )
    add_model_arguments(parser)
    parser.add_argument(
        "--screen",
        type=Path,
        metavar="SMALL_MODEL",
        help="a small model that screens for --model: only segments that it does not call "
        "background go there (docs/guide/inference.md#screening)",
    )
    parser.add_argument(
        "--out",
        type=output_folder_or_bucket,
        default=str(DEFAULT_OUT),
        metavar="RESULTS",
        help=f"results folder; an interrupted run resumes there (default: {DEFAULT_OUT}/). With "
        "--ray also an address s3:// or gs://",
    )
    parser.add_argument(
        "--formats",
        help="formats of avel convert, and html, the page of avel report (default: "
        "jsonl,csv,vtt,html; with --ray none, because its shards hold jsonl and parquet)",
    )
    parser.add_argument(
        "--live",
        action="store_true",
        help="PATH is a live stream: - or an rtsp:// or udp:// address; prints a line of JSON for "
        "each second",
    )
    parser.add_argument(
        "--reconnect",
        action=SetOption,
        setting="inference.live_reconnects",
        type=lambda text: "null" if text == "forever" else text,
        metavar="N|forever",
        help="with --live: attempts in a row to open a lost stream again (default: 10)",
    )
    parser.add_argument(
        "--watch",
        action="store_true",
        help="go on with each new or changed file in the folders once it has stopped growing, "
        "until Ctrl-C or SIGTERM",
    )
    parser.add_argument(
        "--on-event",
        metavar="URL",
        help="post a JSON object to this http:// or https:// URL for each event, at least once",
    )
    parser.add_argument(
        "--ray",
        metavar="ADDRESS",
        help="label on a Ray cluster: local starts one on this machine, auto finds the one that "
        "this machine belongs to, HOST:PORT is that of its head (docs/scale.md)",
    )
    parser.add_argument(
        "--fresh", action="store_true", help="discard the results of an earlier run in RESULTS"
    )
    add_config_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Write one result per input; returns 2 if some are not ok, 130 when interrupted."""
    from avel_tf.cli.live import live_source, run_live

    config = config_of(options)
    if not options.paths and options.manifest is None:
        raise ValueError("Expected a PATH or --manifest FILE. Received neither.")
    formats = DEFAULT_FORMATS if options.formats is None and not options.ray else options.formats
    names = [each.strip() for each in (formats or "").split(",") if each.strip()]
    here = options.ray is None or options.live
    source = live_source(options.paths, allow_address=options.live) if here else None
    if source is not None:
        if options.ray is not None or options.manifest is not None:
            raise ValueError("A live stream is labelled without --ray and --manifest.")
        if options.watch:
            raise ValueError("--watch takes folders, not a live stream.")
        if options.screen is not None:
            raise ValueError("A live stream is labelled by one model. Leave out --screen.")
        return run_live(options, source, names, config)
    common = {
        "classes": options.classes,
        "class_table": options.class_table,
        "config": config,
        "formats": names,
        "fresh": options.fresh,
        "trust_model": options.trust_model,
        "on_engine": lambda pipeline: _print_engine(options.model, pipeline),
    }
    if options.ray is None:
        common |= {"on_event": options.on_event, "screen": options.screen}
    elif options.watch or options.on_event is not None or options.screen is not None:
        raise ValueError(
            "--watch, --on-event and --screen use this machine alone. Leave out --ray."
        )
    if options.watch:
        if options.manifest is not None:
            raise ValueError("--watch takes folders, not a --manifest.")
        return _watch(options, common)
    with Progress("labelling", "files") as progress:
        summary = _localize(options, model=options.model, progress=progress, **common)
    _print_summary(summary, options.out)
    if not summary.complete:
        return 130
    events = summary.events
    delivered = events is None or not (events.refused or events.waiting)
    return 0 if summary.counts["ok"] == summary.inputs and delivered else 2


def _watch(options: argparse.Namespace, common: dict[str, Any]) -> int:
    """Label new files until a signal, the usual end, so that it returns 0."""
    from avel_tf.inference.watch_run import watch_folders

    def on_engine(pipeline: InferencePipeline) -> None:
        _print_engine(options.model, pipeline)
        print("Watching; Ctrl-C ends it.", flush=True)

    summary = watch_folders(
        options.paths,
        options.out,
        options.model,
        on_result=lambda result: print(format_result(result), flush=True),
        **common | {"on_engine": on_engine},
    )
    _print_counts(summary)
    return 0


def _localize(options: argparse.Namespace, **arguments: Any) -> BatchSummary:
    """Label files on this machine, or on a cluster."""
    if options.ray is not None:
        from avel_tf.cluster.infer import localize_on_cluster

        return localize_on_cluster(
            options.paths,
            options.out,
            address=options.ray,
            manifest=options.manifest,
            **arguments,
        )
    from avel_tf.cluster.inputs import read_manifest
    from avel_tf.inference.batch import localize_to_folder

    listed = [] if options.manifest is None else read_manifest(options.manifest)
    for name in (*options.paths, *listed, str(options.out)):
        if is_remote(name):
            raise ValueError(f"An address needs --ray; --ray local uses this machine: {name}")
    return localize_to_folder([*options.paths, *listed], options.out, **arguments)


def _print_engine(model: Path | None, pipeline: InferencePipeline) -> None:
    from avel_tf.pretrained import describe

    if model is None:
        print(*describe(pipeline.labels.names), sep="\n")
    print(f"Engine: {pipeline.choose_engine().description}", flush=True)
    if pipeline.screen is not None:
        print(f"Engine of the screen: {pipeline.screen.choose_engine().description}", flush=True)


def _print_summary(summary: BatchSummary, out: Path | str) -> None:
    from avel_tf.events.result_shards import read_all_results

    if summary.inputs <= MOST_FILES_SHOWN:
        for result in read_all_results(summary.written.get("jsonl", out)):
            print(format_result(result))
    _print_counts(summary)


def _print_counts(summary: BatchSummary) -> None:
    from avel_tf.events.result import STATUSES

    counts = ", ".join(f"{summary.counts[status]} {status}" for status in STATUSES)
    resumed = f" ({summary.resumed} of them done before)" if summary.resumed else ""
    print(f"{_files(summary.done)}: {counts}{resumed}")
    if again := summary.opened_again:
        share = again / summary.inputs
        print(f"{_files(again)} opened again after their worker had ended ({share:.1%})")
    if summary.frame_count.reused:
        print(
            f"Frames: {summary.frame_count.frames:,}, {summary.frame_count.reused:.1%} of them "
            "reused the embedding of the one before"
        )
    if summary.skipped:
        print(f"{_files(len(summary.skipped))} named ._* skipped: macOS sidecar files, no videos")
    written = {name: path for name, path in summary.written.items() if name != "html"}
    print("Results: " + ", ".join(map(str, written.values())))
    if "html" in summary.written:
        print(f"Report: {summary.written['html']}")
    if summary.events:
        print(format_delivery(summary.events))
    if not summary.complete:
        left = summary.inputs - summary.done
        print(f"Interrupted; run the same command again for the other {_files(left)}.")


def _files(count: int) -> str:
    return f"{count} file{'' if count == 1 else 's'}"


def format_result(result: Result) -> str:
    """One-line summary of a file's result."""
    from avel_tf.reports.video_view import span_text
    from avel_tf.utils.text import printable

    found = [
        f"{printable(event.label)} {span_text(event.start, event.end)} ({event.score:.2f})"
        for event in result.events[:MOST_EVENTS_SHOWN]
    ]
    if len(result.events) > MOST_EVENTS_SHOWN:
        found.append(f"{len(result.events) - MOST_EVENTS_SHOWN} more")
    if not found and result.status != "quarantined":
        found.append("no known event detected")
    if result.reason:
        found.append(f"{result.status}: {printable(result.reason)}")
    return f"{printable(result.video)}: {'; '.join(found)}"
