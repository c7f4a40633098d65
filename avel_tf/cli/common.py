"""Options, configuration and progress shared by several commands."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from avel_tf.config import Config
    from avel_tf.inference.webhook import Delivery


def add_config_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds `--config` and `--set`."""
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE.yaml",
        help="YAML file of settings (docs/reference/config.md)",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        dest="overrides",
        metavar="a.b=c",
        help="change one setting, such as training.epochs=20; may be repeated",
    )


class SetOption(argparse.Action):
    """Option that sets one setting, as `--set` does.

    Args:
        setting: The setting, such as `model.name`.
    """

    def __init__(self, *args: Any, setting: str, **kwargs: Any) -> None:
        if "choices" not in kwargs:
            kwargs.setdefault("metavar", "NAME")
        super().__init__(*args, **{**kwargs, "dest": "overrides", "default": argparse.SUPPRESS})
        self.setting = setting

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        namespace.overrides = [*getattr(namespace, "overrides", []), f"{self.setting}={values}"]


def add_engine_argument(parser: argparse.ArgumentParser) -> None:
    """Adds `--engine`."""
    parser.add_argument(
        "--engine",
        action=SetOption,
        setting="engine.name",
        metavar="ENGINE",
        help="auto (default: the fastest that gives the same labels on this machine), tensorflow "
        "or openvino",
    )


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the model that labels videos, its classes and its engine."""
    parser.add_argument(
        "--model",
        type=Path,
        metavar="SAVED_MODEL",
        help="a model written by avel export (default: the pretrained one, whose classes are "
        "printed)",
    )
    parser.add_argument(
        "--classes",
        metavar="NAMES|FILE",
        help="the classes to label, separated by commas, or a text file with one on each line; "
        "everything else is background. With the pretrained model any of `avel classes`",
    )
    parser.add_argument(
        "--class-table",
        type=Path,
        metavar="FILE.csv",
        help="further classes for the pretrained model (docs/guide/classes.md)",
    )
    parser.add_argument(
        "--trust-model",
        action="store_true",
        help="use a model whose files do not match its manifest",
    )
    add_engine_argument(parser)


def config_of(options: argparse.Namespace) -> Config:
    """Loads the configuration that `--config` and `--set` describe."""
    from avel_tf.config import load_config

    return load_config(options.config, options.overrides)


def format_delivery(events: Delivery) -> str:
    """One-line summary of the events posted to `--on-event`."""
    text = f"Events: {events.delivered} delivered"
    if events.refused:
        text += f", {events.refused} refused by the receiver"
    if events.waiting:
        text += f", {events.waiting} waiting; the same command posts them"
    return text


def user_errors() -> tuple[type[Exception], ...]:
    """Exceptions that a user can act on; their message is printed without a traceback.

    Errors of avel-tf are `ValueError`s, except those about a file or a TF-Hub module.
    """
    from avel_tf.embeddings.hub_module import ModuleUnavailableError
    from avel_tf.video.errors import MediaError

    return (ValueError, OSError, MediaError, ModuleUnavailableError)


class Progress:
    """Progress on standard error: a bar on a terminal, else a line every ten seconds."""

    def __init__(self, what: str, unit: str) -> None:
        self.what = what
        self.unit = unit
        self._bar: object | None = None
        self._last_line = time.monotonic()
        self._done = 0

    def __enter__(self) -> Callable[[int, int], None]:
        return self._update

    def __exit__(self, *_: object) -> None:
        self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()  # type: ignore[attr-defined]
            self._bar = None

    def _update(self, done: int, total: int) -> None:
        if self._bar is None and sys.stderr.isatty():
            from tqdm import tqdm

            self._bar = tqdm(desc=self.what, unit=" " + self.unit, leave=False)
        if self._bar is not None:
            self._bar.total = total  # type: ignore[attr-defined]
            self._bar.update(done - self._done)  # type: ignore[attr-defined]
        elif time.monotonic() - self._last_line > 10 or done == total:
            print(f"{self.what}: {done} of {total} {self.unit}", file=sys.stderr, flush=True)
            self._last_line = time.monotonic()
        # Later output must not continue on the line of a finished bar.
        if done == total:
            self._close()
        self._done = 0 if done == total else done
