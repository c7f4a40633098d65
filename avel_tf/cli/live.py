"""avel infer on a live stream: a line of JSON for each segment."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from avel_tf.cli.common import format_delivery
from avel_tf.video.decode_request import STDIN, is_address, without_login

if TYPE_CHECKING:
    from avel_tf.config import Config
    from avel_tf.inference.live import LiveSegment
    from avel_tf.inference.pipeline import InferencePipeline


def live_source(paths: Sequence[str], *, allow_address: bool) -> str | None:
    """Find the live stream among the paths of a command line.

    Args:
        paths: Files, folders or one live stream.
        allow_address: Open an address, and require that the path is a live stream.

    Returns:
        `-` for standard input, or an address; None if the paths are files.

    Raises:
        ValueError: There is more than one stream, it may not be opened, or standard input is
            closed or a terminal.
    """
    streams = [path for path in paths if path == STDIN or is_address(path)]
    if not (streams or allow_address):
        return None
    if len(paths) > 1:
        raise ValueError(
            "A live stream is labelled alone, without other files or streams. Received: "
            f"{', '.join(map(without_login, paths))}"
        )
    (source,) = paths
    if is_address(source) and not allow_address:
        raise ValueError(
            f"{without_login(source)} is an address, and none is opened unless --live is given."
        )
    from avel_tf.video.live import check_source

    check_source(source)
    if source == STDIN:
        closed = sys.stdin is None  # after the shell's `<&-`
        if closed or sys.stdin.isatty():
            raise ValueError(
                f"Standard input is {'closed' if closed else 'a terminal'}. Send it a video, as in:"
                " ffmpeg ... -f mpegts - | avel infer - --model ..."
            )
    return source


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
