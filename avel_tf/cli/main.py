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

OK = 0
FAILED = 1
INCOMPLETE = 2
INTERRUPTED = 130

# Each command is the module of that name in avel_tf.cli.
COMMANDS = {
    "demo": "offline: make clips, audit, train, evaluate, export, infer, report",
    "audit": "look for what is wrong with a data set",
    "extract": "mp4 files to features",
    "train": "mp4 files or features to a trained model",
    "evaluate": "measure a model on a split",
    "export": "a trained model to one SavedModel",
    "infer": "label every second of files and folders",
    "report": "results or a training run as a page to look at",
    "doctor": "what this machine and a model can do",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: The command line without the program's name; `None` takes this process's.

    Returns:
        0 all good; 1 usage, configuration, or nothing could be done; 2 finished, but some files
        are partial or quarantined; 130 interrupted.
    """
    # TensorFlow's start-up messages are about GPUs that are not there.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
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
    # What a user can mend is said in a sentence; anything else is a bug and keeps its traceback.
    from avel_tf.cli.common import user_errors

    try:
        with _sigterm_interrupts():
            return options.run(options)
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has gone; Python would complain again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except user_errors() as error:
        if options.verbose:
            logging.exception("avel %s failed", options.command)
        print(f"avel {options.command}: {_sentence(error)}", file=sys.stderr)
        return FAILED


def _sentence(error: Exception) -> str:
    """The message of an error, without the number that the operating system gives it."""
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        from avel_tf.utils.text import printable

        return f'"{printable(error.filename)}" cannot be read or written: {error.strerror}.'
    return str(error)


@contextlib.contextmanager
def _sigterm_interrupts() -> Iterator[None]:
    """Within, SIGTERM does what Ctrl-C does.

    It is how a cluster takes a machine back, and no fault of the file in hand; a process that
    ended by it unheard would look as if that file had killed it.
    """
    # Python takes signals in the main thread only. Who ignores it, or has a handler, means it so.
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
    """The command line; only the chosen command's own options are loaded."""
    parser = argparse.ArgumentParser(
        prog="avel",
        description="Audio-visual event localization: which event is both heard and seen, for "
        "every second of a video.",
        epilog="Exit status: 0 all good; 1 usage, configuration, or nothing could be done; 2 "
        "finished, but some files are partial or quarantined; 130 interrupted.",
    )
    parser.add_argument("--version", action="version", version=f"avel-tf {__version__}")
    commands = parser.add_subparsers(
        dest="command", metavar="COMMAND", required=True, parser_class=CommandParser
    )
    for name, summary in COMMANDS.items():
        command = commands.add_parser(name, help=summary, description=f"avel {name}: {summary}.")
        command.add_argument(
            "--verbose", action="store_true", help="say more, and show where an error came from"
        )
        if name == chosen:
            module = importlib.import_module(f"avel_tf.cli.{name}")
            module.add_arguments(command)
            command.set_defaults(run=module.run)
    return parser
