"""avel serve: a page and an HTTP API that label videos."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from avel_tf.cli.common import add_config_arguments, add_engine_argument, config_of
from avel_tf.cli.paths import output_folder

if TYPE_CHECKING:
    from avel_tf.serving.server import ServerOptions

TOKEN_VARIABLE = "AVEL_TOKEN"
# A token of 16 random letters and digits has 95 bits.
_SHORTEST_TOKEN = 16


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.allow_abbrev = False  # --token SECRET would be taken for --token-file, and be printed
    parser.add_argument(
        "--model",
        metavar="SAVED_MODEL",
        help="a model written by avel export (default: the pretrained one)",
    )
    parser.add_argument(
        "--classes",
        metavar="NAMES|FILE",
        help="the classes to label, as of avel infer; everything else is background",
    )
    parser.add_argument(
        "--class-table",
        metavar="FILE.csv",
        help="further classes for the pretrained model (docs/guide/classes.md)",
    )
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        metavar="ADDRESS",
        help="address to listen on (default: 127.0.0.1, this machine alone). Others need a token, "
        f"in the environment variable {TOKEN_VARIABLE} or a file",
    )
    parser.add_argument(
        "--port", type=int, default=8000, metavar="PORT", help="port (default: 8000; 0: a free one)"
    )
    parser.add_argument(
        "--token-file", type=Path, metavar="FILE", help="file whose first line is the token"
    )
    parser.add_argument(
        "--data",
        type=output_folder,
        default="videos",
        metavar="DIR",
        help="folder of videos that the page may open (default: videos/)",
    )
    parser.add_argument(
        "--state",
        type=output_folder,
        metavar="DIR",
        help="folder of uploads, results and corrections (default: avel-serve/ in the folder of "
        "videos)",
    )
    add_engine_argument(parser)
    parser.add_argument(
        "--trust-model",
        action="store_true",
        help="use a model whose files do not match its manifest",
    )
    add_config_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Serve until interrupted."""
    try:
        from avel_tf.serving.run import serve
    except ModuleNotFoundError as error:
        raise ValueError(
            f"avel serve needs the package {error.name}: pip install 'avel-tf[web]'"
        ) from error
    if not 0 <= options.port < 65_536:
        raise ValueError(f"--port must be in 0 ... 65535. Received: {options.port}.")
    serve(_server_options(options), options.port, verbose=options.verbose)
    return 0


def _server_options(options: argparse.Namespace) -> ServerOptions:
    from avel_tf.export.exported_model import ExportedModel
    from avel_tf.serving.model_worker import ModelSpec
    from avel_tf.serving.security import LOOPBACK
    from avel_tf.serving.server import ServerOptions

    token = _token(options.token_file)
    if token is None and options.host not in LOOPBACK:
        raise ValueError(
            f"With --host {options.host} other machines can reach the server, so it needs a token: "
            f"set {TOKEN_VARIABLE}, or give a file with --token-file."
        )
    if options.model is not None:
        # A wrong folder is refused before anything is started.
        _ = ExportedModel(options.model).labels
    spec = ModelSpec(
        options.model, options.classes, options.class_table, config_of(options), options.trust_model
    )
    state = options.state or options.data / "avel-serve"
    return ServerOptions(options.data, state, spec, options.host, token)


def _token(file: Path | None) -> str | None:
    """The token of the file or the environment.

    Raises:
        ValueError: It is too short.
        OSError: The file cannot be read.
    """
    if file is not None:
        with open(file, encoding="utf-8") as lines:
            token = lines.readline().strip()
    else:
        token = os.environ.pop(TOKEN_VARIABLE, "").strip()  # not for child processes
        if not token:
            return None
    if len(token) < _SHORTEST_TOKEN or not token.isascii() or not token.isprintable():
        raise ValueError(
            f"The token must have at least {_SHORTEST_TOKEN} letters and digits; "
            "`openssl rand -hex 16` makes one."
        )
    return token
