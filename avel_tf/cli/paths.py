"""Argument types of files and folders, which are checked before any work is done."""

from __future__ import annotations

import os
from argparse import ArgumentTypeError
from pathlib import Path

from avel_tf.utils.storage import is_remote, local_path


def output_folder(text: str) -> Path:
    """A folder to write to, which need not exist."""
    _refuse_empty(text, "a folder")
    path = Path(text)
    if os.path.lexists(path) and not os.path.exists(path):
        raise ArgumentTypeError(f"{text} is a broken link; expected a folder, or a new name.")
    if os.path.exists(path) and not os.path.isdir(path):
        raise ArgumentTypeError(f"{text} is a file; expected a folder, or a new name for one.")
    _check_writable(text, path)
    return path


def output_folder_or_bucket(text: str) -> Path | str:
    """A folder to write to, or the address of a bucket."""
    return text if is_remote(text) else output_folder(local_path(text))


def output_file(text: str) -> Path:
    """A file to write, which need not exist."""
    _refuse_empty(text, "a file")
    path = Path(text)
    if os.path.isdir(path) or text.endswith(os.sep):
        raise ArgumentTypeError(
            f"{text} is a folder; expected the name of a file, such as {path / 'index.html'}."
        )
    _check_writable(text, path.parent)
    return path


def input_folder(text: str) -> Path:
    """A folder to read, which must exist."""
    _refuse_empty(text, "a folder")
    path = Path(text)
    if os.path.isdir(path):
        return path
    if os.path.exists(path):
        raise ArgumentTypeError(f"{text} is a file; expected a folder.")
    from avel_tf.video.video_files import similar_name

    near = similar_name(path)
    hint = f" The nearest name there is {near!r}." if near else ""
    raise ArgumentTypeError(f"there is no folder {text}.{hint}")


def input_folder_or_bucket(text: str) -> Path | str:
    """A folder to read, which must exist, or the address of a bucket."""
    return text if is_remote(text) else input_folder(local_path(text))


def model_folder(text: str) -> Path | str:
    """A run or an exported model, which must exist, or `pretrained`."""
    return text if text == "pretrained" and not os.path.isdir(text) else input_folder(text)


def _refuse_empty(text: str, expected: str) -> None:
    if not text or "\0" in text:
        raise ArgumentTypeError(f"expected the name of {expected}; received {text!r}.")


def _check_writable(text: str, path: Path) -> None:
    """Refuses a path that cannot be created or written."""
    there = Path(os.path.abspath(path))
    while not os.path.lexists(there):
        there = there.parent
    if not os.path.isdir(there):
        raise ArgumentTypeError(f"{text} cannot be created, because {there} is a file.")
    if not os.access(there, os.W_OK | os.X_OK, effective_ids=True):
        raise ArgumentTypeError(
            f"{text} cannot be written: no permission to write to the folder {there}."
        )
