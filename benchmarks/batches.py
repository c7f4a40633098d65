"""Processor time by the number of images in one call, and of windows in one call of the localizer.

    python benchmarks/batches.py SCRATCH

A call holds segments of one file (docs/design/engines.md); the table says what that costs, for
ResNet-152 alone, the compact backbones at F=2 and the localizer, in every engine and precision.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from bare import Cases
from measuring import timed
from networks import build
from ours import Model, features

ROUNDS = 3
# Windows in a round, so that a round takes much longer than the 10 ms of the processor clock.
LABELLED = 320


def least(run: Callable[[], object]) -> float:
    """Processor seconds of a run with its child processes, minimum of several after a warm-up."""
    run()
    return min(timed(run)[1] for _ in range(ROUNDS))


def main(scratch: Path) -> None:
    """Print the tables."""
    build(scratch)
    from avel_tf.engines.available import engines_for
    from avel_tf.engines.settings import EngineSettings

    choices = [
        each for each in engines_for(EngineSettings(), gpu=False) if each.precision != "int8"
    ]
    print("| engine | network | in one call | ms |\n|---|---|---|---|")
    for choice in choices:
        for images in (1, 2, 4, 10, 16):
            cases = Cases(scratch, choice.engine, choice.precision)
            cases.batch = images
            amount = 32 // images * images
            spent = least(cases.images(amount)) / amount
            print(f"| {choice.description} | ResNet-152 | {images} images | {spent * 1e3:.1f} |")
    for choice in choices:
        model = Model(scratch, choice.engine, choice.precision, 2, "compact")
        for images in (2, 4, 10, 20):
            model.images = images
            amount = 320
            spent = least(model.embed(amount)) / amount
            print(f"| {choice.description} | compact | {images} images | {spent * 1e3:.2f} |")
    for choice in choices:
        model = Model(scratch, choice.engine, choice.precision, 2, "compact")
        recipe = model.pipeline.model.recipe
        for windows in (1, 2, 4, 16):
            visual, audio, valid, _ = features(windows, recipe.visual.width, recipe.audio.width)
            label_features = model.pipeline.label_features

            arrays = (visual, audio, valid)

            def label(run=label_features, arrays=arrays, calls=LABELLED // windows) -> None:
                for _ in range(calls):
                    run(*map(np.ascontiguousarray, arrays))

            spent = least(label) / LABELLED
            print(f"| {choice.description} | localizer | {windows} windows | {spent * 1e3:.2f} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scratch", type=Path, help="folder for models and clips")
    main(parser.parse_args().scratch)
