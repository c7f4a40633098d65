"""avel infer on a live stream: standard input, or an address."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from avel_tf.inference.live import LiveSegment
    from avel_tf.inference.localizer import Localizer


def is_live(options: argparse.Namespace) -> bool:
    """Return True if a command line names a live stream.

    Raises:
        ValueError: It is about one that it may not open, or about more than one.
    """
    from avel_tf.video.live import STDIN, check_source, is_address, without_login

    streams = [path for path in options.paths if path == STDIN or is_address(path)]
    if not (streams or options.live):
        return False
    if len(options.paths) > 1:
        raise ValueError(
            "A live stream is labelled alone, without other files or streams. Received: "
            f"{', '.join(map(without_login, options.paths))}"
        )
    (source,) = options.paths
    if is_address(source) and not options.live:
        raise ValueError(
            f"{without_login(source)} is an address, and none is opened unless --live is given."
        )
    check_source(source)
    if source == STDIN and sys.stdin is None:  # as `<&-` leaves it
        raise ValueError(
            "Standard input is closed. Send it a video, as in: ffmpeg ... -f mpegts - | "
            "avel infer - --model ..."
        )
    if source == STDIN and sys.stdin.isatty():
        raise ValueError(
            "Standard input is a terminal. Send it a video, as in: ffmpeg ... -f mpegts - | "
            "avel infer - --model ..."
        )
    return True


def check_folder(folder: Path, *, fresh: bool) -> None:
    """Refuse to write over results: a stream that has been cannot be labelled again."""
    for name in ("results.jsonl", "ledger.jsonl"):
        if (folder / name).exists() and not fresh:
            raise ValueError(
                f"{folder} holds results already ({name}). Give another --out, or write over them "
                "with --fresh."
            )
    # Now, and not when the stream is over.
    folder.mkdir(parents=True, exist_ok=True)


def forget_files(folder: Path) -> None:
    """Remove what a run on files left, which would not go with the results of a stream.

    A later run on files would go on from its ledger, and write over them. `results.jsonl` stays
    until there is another.

    Raises:
        RunJournalError: Another run is writing there.
    """
    from avel_tf.events.formats.vtt import remove_vtt
    from avel_tf.inference.run_journal import LEDGER, LOCK, RunJournal

    if any((folder / name).exists() for name in ("results.jsonl", "ledger.jsonl")):
        # Opened, so that nothing is removed while another run writes there.
        with RunJournal(folder, [], setup={}, model="", fresh=True):
            for name in (LEDGER, LOCK):
                (folder / name).unlink()
            remove_vtt(folder)


def run_live(options: argparse.Namespace, localizer: Localizer, formats: tuple[str, ...]) -> int:
    """A line on standard output for every second, and the usual results at the end.

    Raises:
        OSError: Standard output cannot be written; what had come by then is labelled and written.
    """
    from avel_tf.events.formats import write_formats
    from avel_tf.inference.live import localize_live
    from avel_tf.inference.stop_signal import StopSignal

    if options.fresh:
        forget_files(options.out)
    # Standard output is for the seconds alone.
    print(f"Engine: {localizer.choose_engine([]).description}", file=sys.stderr, flush=True)
    unread: OSError | None = None

    def tell(second: LiveSegment) -> None:
        nonlocal unread
        try:
            print(second.to_json(), flush=True)
        except OSError as error:
            # Whoever read the seconds has gone, as `head` does, or their disk is full: the end of
            # it, as after Ctrl-C. The seconds that are still labelled are for RESULTS alone.
            unread = error
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

    def should_stop() -> bool:
        return stop.asked or unread is not None

    with StopSignal("seconds") as stop:
        result = localize_live(
            localizer, options.paths[0], on_segment=tell, should_stop=should_stop
        )
    written = write_formats(formats, [result], options.out)
    if result.reason:
        print(f"{result.status}: {result.reason}", file=sys.stderr)
    print("Results: " + ", ".join(str(path) for path in written.values()), file=sys.stderr)
    if unread is not None and not isinstance(unread, BrokenPipeError):
        raise OSError(
            f"Standard output cannot be written: {unread.strerror}. What had come of the stream by "
            f"then is in {options.out}; mend that before the next one."
        ) from unread
    if should_stop():
        return 130
    return 0 if result.status == "ok" else 2
