"""avel infer on a live stream: a line of JSON for each segment."""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING

from avel_tf.cli.common import format_delivery

if TYPE_CHECKING:
    from avel_tf.config import Config
    from avel_tf.inference.live import LiveSegment
    from avel_tf.inference.pipeline import InferencePipeline


def run_live(options: argparse.Namespace, source: str, formats: list[str], config: Config) -> int:
    """Print a line for every segment, and write the usual results at the end.

    Raises:
        OSError: Standard output cannot be written; the segments received by then are labelled and
            written.
    """
    from avel_tf.inference.live_run import localize_live_to_folder
    from avel_tf.inference.stop_signal import StopSignal
    from avel_tf.pretrained import describe

    unread: OSError | None = None

    def on_engine(pipeline: InferencePipeline) -> None:
        # Standard output is for the segments alone.
        if options.model is None:
            print(*describe(pipeline.labels.names), sep="\n", file=sys.stderr, flush=True)
        print(f"Engine: {pipeline.choose_engine().description}", file=sys.stderr, flush=True)

    def on_segment(segment: LiveSegment) -> None:
        nonlocal unread
        try:
            print(segment.to_json(), flush=True)
        except OSError as error:
            # The reader has gone, as `head` does, or the disk is full: stop as after Ctrl-C. The
            # segments that are still labelled are written to RESULTS alone.
            unread = error
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

    def should_stop() -> bool:
        return stop.asked or unread is not None

    with StopSignal("seconds") as stop:
        result, written, events = localize_live_to_folder(
            source,
            options.out,
            options.model,
            on_segment=on_segment,
            should_stop=should_stop,
            classes=options.classes,
            class_table=options.class_table,
            config=config,
            formats=formats,
            fresh=options.fresh,
            trust_model=options.trust_model,
            on_engine=on_engine,
            on_event=options.on_event,
        )
    if result.reason:
        print(f"{result.status}: {result.reason}", file=sys.stderr)
    print("Results: " + ", ".join(str(path) for path in written.values()), file=sys.stderr)
    if events:
        print(format_delivery(events), file=sys.stderr)
    if unread is not None and not isinstance(unread, BrokenPipeError):
        raise OSError(
            f"Standard output cannot be written: {unread.strerror}. The segments received by then "
            f"are in {options.out}. Fix that before the next run."
        ) from unread
    if should_stop():
        return 130
    delivered = events is None or not (events.refused or events.waiting)
    return 0 if result.status == "ok" and delivered else 2
