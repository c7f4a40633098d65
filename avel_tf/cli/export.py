"""avel export: export a training run, or the pretrained localizer, as one SavedModel."""

from __future__ import annotations

import argparse
from pathlib import Path

import avel_tf
from avel_tf.cli.paths import model_folder, output_folder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument(
        "run_folder",
        type=model_folder,
        metavar="RUN",
        help="a run that avel train wrote, or pretrained",
    )
    parser.add_argument(
        "--out",
        type=output_folder,
        required=True,
        metavar="MODEL",
        help="folder of the model; each export adds a version, as in saved_models/NAME/1",
    )
    parser.add_argument(
        "--extends",
        type=model_folder,
        metavar="SAVED_MODEL",
        help="an exported model, or pretrained, whose other classes the new model labels as well",
    )
    parser.add_argument(
        "--classes",
        metavar="NAMES|FILE",
        help="with pretrained: the classes that are labelled unless avel infer --classes selects "
        "others (default: all)",
    )
    parser.add_argument(
        "--class-table",
        type=Path,
        metavar="FILE.csv",
        help="with pretrained: further classes (docs/guide/classes.md)",
    )


def run(options: argparse.Namespace) -> int:
    """Join backbones and head in the next version of `--out`."""
    if options.run_folder == "pretrained":
        if options.extends is not None:
            raise ValueError("--extends is for a run; pretrained cannot extend another model.")
        exported = _export_pretrained(options)
    elif options.classes is not None or options.class_table is not None:
        raise ValueError(
            f"--classes and --class-table are for pretrained; the run {options.run_folder} has its "
            "own classes. Leave them out, or select classes with avel infer --classes."
        )
    else:
        extends = options.extends
        if extends == "pretrained":
            from avel_tf.pretrained import find_pretrained

            extends = find_pretrained()
        exported = avel_tf.export_run(options.run_folder, options.out, extends=extends)
    print(f"SavedModel: {exported}")
    return 0


def _export_pretrained(options: argparse.Namespace) -> Path:
    from avel_tf.events.labels import Labels
    from avel_tf.pretrained.zero_shot import export_zero_shot
    from avel_tf.vocabulary.class_names import resolve_classes
    from avel_tf.vocabulary.class_table import ClassTable

    table = ClassTable.load(options.class_table)
    words = {each.name: each.words for each in table}
    chosen = options.classes and resolve_classes(options.classes, Labels(table.names), words)
    # The model keeps all classes, because those that are not labelled compete with the others.
    return export_zero_shot(options.out, table=table, default_classes=chosen)
