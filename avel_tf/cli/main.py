"""The `avel` command."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from types import FrameType

from avel_tf import __version__
from avel_tf.cli.parser import CommandParser
from avel_tf.utils import lazy_imports

OK = 0
FAILED = 1
INCOMPLETE = 2
INTERRUPTED = 130

# Each command is the module of that name in avel_tf.cli.
COMMANDS = {
    "demo": "run the whole pipeline offline on synthetic clips",
    "audit": "find defects of a data set",
    "extract": "extract features from videos",
    "train": "train a localizer on videos or features",
    "evaluate": "evaluate a model on a split",
    "export": "export a training run as a SavedModel",
    "infer": "label every second of videos",
    "screen": "fit the margin of a small model that screens for a large one",
    "serve": "serve a page and an HTTP API that label videos",
    "classes": "list the classes that can be labelled by name",
    "convert": "write results in the format of another tool",
    "overlay": "write videos with the timeline of their events below the picture",
    "clips": "cut the events of results into short clips, as a data set",
    "import": "turn annotations of another tool into annotations.csv",
    "report": "write an HTML page of results, of two compared, or of a training run",
    "doctor": "show versions, engines and codecs, and check a model",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: The command line without the program's name; `None` takes this process's.

    Returns:
        0 success; 1 usage or configuration error, or nothing could be done; 2 finished, but some
        files are partial or quarantined; 130 interrupted.
    """
    # TensorFlow's start-up messages report missing GPUs.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    lazy_imports.is_command = True
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    chosen = next((each for each in arguments if not each.startswith("-")), None)
    parser = _parser(chosen)
    try:
        if chosen is not None and chosen not in COMMANDS:
            from avel_tf.utils.text import did_you_mean

            hint = did_you_mean(chosen, tuple(COMMANDS))
            parser.error(f"there is no command {chosen!r}.{hint} There are: {', '.join(COMMANDS)}.")
        options = parser.parse_args(arguments)
    except SystemExit as end:  # argparse's own exit: 0 after --help, 2 on a wrong command line
        return FAILED if end.code else OK
    logging.basicConfig(
        level=logging.DEBUG if options.verbose else logging.WARNING, format="%(message)s"
    )
    # Errors that users can act on are printed as a sentence; others are bugs and keep a traceback.
    from avel_tf.cli.common import user_errors

    try:
        with _sigterm_interrupts():
            return options.run(options)
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of standard output has closed it. Python must not fail again when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except user_errors() as error:
        if options.verbose:
            logging.exception("avel %s failed", options.command)
        print(f"avel {options.command}: {_sentence(error)}", file=sys.stderr)
        return FAILED


def _sentence(error: Exception) -> str:
    """Message of an error; an `OSError` without its errno."""
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        from avel_tf.utils.text import printable

        return f'"{printable(error.filename)}" cannot be read or written: {error.strerror}.'
    return str(error)


@contextlib.contextmanager
def _sigterm_interrupts() -> Iterator[None]:
    """Makes SIGTERM interrupt the command, as Ctrl-C does.

    Clusters send it to reclaim a machine. If it ended the process directly, the next run would
    assume that the current file had crashed it.
    """
    # Python handles signals in the main thread only. A handler that is already set is kept.
    ours = (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    )
    if ours:
        signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        if ours:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _parser(chosen: str | None) -> argparse.ArgumentParser:
    """Builds the parser; only the module of the chosen command is imported."""
    parser = argparse.ArgumentParser(
        prog="avel",
        description="Audio-visual event localization: labels every second of a video with the "
        "event that is both audible and visible.",
        epilog="Exit status: 0 success; 1 usage or configuration error, or nothing could be done; "
        "2 finished, but some files are partial or quarantined; 130 interrupted.",
    )
    parser.add_argument("--version", action="version", version=f"avel-tf {__version__}")
    commands = parser.add_subparsers(
        dest="command", metavar="COMMAND", required=True, parser_class=CommandParser
    )
    for name, summary in COMMANDS.items():
        command = commands.add_parser(name, help=summary, description=f"avel {name}: {summary}.")
        if name == chosen:
            _add_arguments(command, name)
    return parser


def command_parser(name: str) -> CommandParser:
    """Builds the parser of one command alone."""
    parser = CommandParser(prog=f"avel {name}")
    _add_arguments(parser, name)
    return parser


def _add_arguments(parser: argparse.ArgumentParser, name: str) -> None:
    parser.add_argument(
        "--verbose", action="store_true", help="print more, and a traceback with errors"
    )
    module = importlib.import_module(f"avel_tf.cli.{name}")
    module.add_arguments(parser)
    parser.set_defaults(run=module.run)
