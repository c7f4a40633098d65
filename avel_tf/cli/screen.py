"""avel screen: fit the margin of a small model that screens for a large one."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from avel_tf.cli.common import (
    Progress,
    add_config_arguments,
    add_model_arguments,
    config_of,
)
from avel_tf.cli.paths import output_file

if TYPE_CHECKING:
    from avel_tf.inference.cascade import CascadePipeline
    from avel_tf.inference.screen_fit import ScreenFit, ScreenPoint

DEFAULT_OUT = Path("screen.yaml")
DEFAULT_PERCENT = 99.5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument(
        "paths",
        nargs="+",
        metavar="PATH",
        help="files, and folders of any depth, like those that will be labelled; with --split, a "
        "data set. Annotations are not used",
    )
    parser.add_argument(
        "--screen",
        type=Path,
        required=True,
        metavar="SMALL_MODEL",
        help="the small model, as of avel infer",
    )
    add_model_arguments(parser)
    parser.add_argument(
        "--split",
        metavar="NAME",
        help="PATH is a data set, and its videos of this split are used: train, validation or test",
    )
    parser.add_argument(
        "--equal",
        type=float,
        default=DEFAULT_PERCENT,
        metavar="PERCENT",
        help="smallest share of the labels that must be those of the large model alone "
        f"(default: {DEFAULT_PERCENT})",
    )
    parser.add_argument(
        "--out",
        type=output_file,
        default=str(DEFAULT_OUT),
        metavar="FILE.yaml",
        help=f"settings for avel infer --config (default: {DEFAULT_OUT})",
    )
    add_config_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Print the curve and write the settings."""
    from avel_tf.inference.batch import open_exported, open_screen, pipeline_of
    from avel_tf.inference.cascade import CascadePipeline
    from avel_tf.inference.inputs import require_inputs
    from avel_tf.inference.screen_fit import fit_screen
    from avel_tf.utils.durable_files import atomic_text

    config = config_of(options)
    paths = options.paths
    if options.split is not None:
        from avel_tf.datasets.load import load_dataset

        videos = [
            video
            for path in paths
            for video in load_dataset(path, config.dataset).split(options.split)
        ]
        paths = [str(video.path) for video in videos]
        if not paths:
            raise ValueError(f"The split {options.split} of {options.paths[0]} is empty.")
    paths = require_inputs(paths)
    model = open_exported(
        options.model,
        trust=options.trust_model,
        engine=config.engine,
        class_table=options.class_table,
    )
    screen = open_screen(options.screen, config, trust=options.trust_model)
    cascade = pipeline_of(model, config, options.classes, screen)
    assert isinstance(cascade, CascadePipeline)
    cascade.choose_engine(paths)
    with Progress("comparing", "files") as progress:
        fit = fit_screen(cascade, paths, target=options.equal / 100, progress=progress)
    lines = curve_lines(cascade, fit)
    print(*lines, sep="\n")
    with atomic_text(options.out) as file:
        file.writelines(f"# {line}\n" for line in lines)
        file.write(
            f"screen:\n  margin: {fit.best.settings.margin}\n"
            f"  context_seconds: {fit.best.settings.context_seconds}\n"
        )
    print(f"Settings: {options.out}")
    return 0


def curve_lines(cascade: CascadePipeline, fit: ScreenFit) -> list[str]:
    """The curve as a table, and the chosen point in words."""
    best = fit.best
    lines = [
        f"{cascade.model.name} with the screen {cascade.screen.model.name}: "
        f"{fit.segments} segments of {fit.files} files.",
        "margin  context  equal labels  to the large model",
        *map(_row, fit.curve),
        f"Chosen: margin {best.settings.margin:g}, context {best.settings.context_seconds} s",
    ]
    if best.large == 1:
        lines.append("Nothing is saved: the large model is needed for every segment.")
    return lines


def _row(point: ScreenPoint) -> str:
    settings = point.settings
    return (
        f"{settings.margin:<6g}  {settings.context_seconds:>5} s  {100 * point.equal:>10.2f} %  "
        f"{100 * point.large:>16.1f} %"
    )
