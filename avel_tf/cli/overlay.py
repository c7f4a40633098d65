"""avel overlay: write videos with the timeline of their events below the picture."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from avel_tf.cli.common import Progress, add_config_arguments, add_model_arguments, config_of
from avel_tf.cli.paths import input_folder, output_folder

if TYPE_CHECKING:
    import numpy as np

    from avel_tf.config import Config
    from avel_tf.events.result import Result


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument(
        "paths",
        nargs="+",
        metavar="VIDEO|RESULTS",
        help="files, and folders of any depth, which are labelled first; or one folder of avel "
        "infer, or its results.jsonl",
    )
    parser.add_argument(
        "--out",
        type=output_folder,
        required=True,
        metavar="DIR",
        help="folder of the videos NAME.overlay.mp4",
    )
    add_model_arguments(parser)
    parser.add_argument(
        "--attention",
        type=input_folder,
        metavar="RUN",
        help="show where the model of this training run looks, as a heat map; it needs "
        "model.spatial_attention",
    )
    add_config_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Write the videos; returns 2 if some could not be decoded, or only in part."""
    from avel_tf.events.formats.mirror import Mirror
    from avel_tf.reports.overlay import write_overlay
    from avel_tf.utils.text import printable
    from avel_tf.video.errors import MediaError

    config = config_of(options)
    attention = _attention(options.attention, config)
    names = Mirror(".overlay.mp4")
    written = incomplete = 0
    for result in _results(options, config):
        path = options.out / names.place(Path(result.video).stem)
        total = round(result.duration or len(result.seconds))
        try:
            maps = attention(result) if attention and result.status != "quarantined" else None
            with Progress(f"drawing {path.name}", "seconds") as progress:
                shown = partial(_show, progress, total)
                write_overlay(result, path, attention=maps, media=config.media, progress=shown)
        except MediaError as error:
            print(f"{printable(result.video)}: {printable(error.cause)}", flush=True)
            incomplete += 1
            continue
        print(path, flush=True)
        written += 1
        incomplete += result.status != "ok"
    print(f"Overlays: {written} in {options.out}")
    if not written:
        return 1
    return 2 if incomplete else 0


def _show(progress: Callable[[int, int], None], total: int, second: float) -> None:
    progress(min(int(second), total), total)


def _results(options: argparse.Namespace, config: Config) -> Iterator[Result]:
    """Results of a folder, or of videos that are labelled now."""
    from avel_tf.events.result_shards import has_results, read_all_results

    first = Path(options.paths[0])
    if first.suffix == ".jsonl" or has_results(first):
        if len(options.paths) > 1:
            raise ValueError(
                f"Expected one results folder, or videos. Received: {', '.join(options.paths)}."
            )
        yield from read_all_results(first)
        return
    from avel_tf.inference.batch import open_exported, pipeline_of
    from avel_tf.inference.inputs import require_inputs
    from avel_tf.pretrained import describe

    inputs = require_inputs(options.paths)
    model = open_exported(
        options.model,
        trust=options.trust_model,
        engine=config.engine,
        class_table=options.class_table,
    )
    pipeline = pipeline_of(model, config, options.classes)
    if options.model is None:
        print(*describe(pipeline.labels.names), sep="\n", flush=True)
    for _, result in pipeline.label_files(inputs):
        yield result


def _attention(folder: Path | None, config: Config) -> Callable[[Result], np.ndarray] | None:
    """Function that makes the attention maps of a video, with the model of a run."""
    if folder is None:
        return None
    from avel_tf.config import load_config
    from avel_tf.embeddings.extractor import load_extractor
    from avel_tf.inference.spatial_attention import spatial_attention_maps
    from avel_tf.models.attention import attention_names
    from avel_tf.training.run import Run

    run = Run(folder)
    model = run.model()
    if "spatial_attention" not in attention_names(model):
        raise ValueError(
            f"The model of {folder} has no spatial attention, so nothing can be shown. Train one "
            "with model.spatial_attention (docs/design/models.md), or leave out --attention."
        )
    extractor = load_extractor(load_config(folder / "config.yaml").embeddings)
    seconds = config.inference.window_seconds
    return lambda result: spatial_attention_maps(
        model, extractor, result.video, window_seconds=seconds, media=config.media
    )
