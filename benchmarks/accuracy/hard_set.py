"""Create the harder synthetic set: 35 classes, decoys, noise (docs/design/robustness.md).

    python benchmarks/accuracy/hard_set.py hard
    avel extract hard --out hard-features --set embeddings.visual.frames_per_second=2

A clip of ten seconds takes 0.11 s of processor time, 0.22 s on a busy machine.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from avel_tf.synthesis.dataset import hard_settings, make_dataset


def main() -> None:
    """Create the set."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, help="folder for annotations.csv and videos/")
    parser.add_argument("--train", type=int, default=900)
    parser.add_argument("--validation", type=int, default=200)
    parser.add_argument("--test", type=int, default=600)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    options = parser.parse_args()
    make_dataset(
        options.out,
        train=options.train,
        validation=options.validation,
        test=options.test,
        seed=options.seed,
        settings=hard_settings(),
        workers=options.workers,
    )


if __name__ == "__main__":
    main()
