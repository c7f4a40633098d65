"""Cost of each augmentation and of weight averaging per training step.

    python benchmarks/augmentation.py [--rounds 5] [--only feature_noise,weight_averaging]

`avel` at its defaults on features in memory, as wide as ResNet-152 and VGGish. Each case is
paired with plain training and compared with its own pair. Use processor time on shared machines,
where wall-clock times are noisy. Expect at least 90 % of the steps of plain training
(docs/guide/training.md).
"""

from __future__ import annotations

import argparse
import os
import statistics
from collections.abc import Callable
from dataclasses import replace

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
from measuring import timed

from avel_tf.features.examples import Examples
from avel_tf.models import ModelSettings, build, fit_normalization
from avel_tf.training.augmentation.settings import AugmentationSettings
from avel_tf.training.fit import augmentation_for, compile_model
from avel_tf.training.settings import TrainingSettings

SECONDS, VISUAL_WIDTH, AUDIO_WIDTH, CLASSES = 10, 2048, 128, 28
# Steps of one measurement. A call of `fit` costs about one step in all cases.
STEPS = 64
PLAIN = TrainingSettings()
# The strength does not affect the cost, except that a share selects windows at random.
CASES = {
    **{
        f"{name} {strength}": replace(PLAIN, augmentation=AugmentationSettings(**{name: strength}))
        for name, strength in (
            ("mixup", 0.4),
            ("cross_modal_mixup", 0.2),
            ("modality_dropout", 0.1),
            ("feature_noise", 0.3),
        )
    },
    "weight_averaging 0.99": replace(PLAIN, weight_averaging=0.99),
    "all of them": replace(
        PLAIN,
        augmentation=AugmentationSettings(0.2, 0.4, 0.1, 0.3),
        weight_averaging=0.99,
    ),
}


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", help="names of settings, with commas")
    options = parser.parse_args()
    chosen = {
        name: settings
        for name, settings in CASES.items()
        if not options.only or name.split()[0] in options.only.split(",")
    }
    examples = random_examples()
    plain = trainer(PLAIN, examples)
    header = ("", "steps/s", "of plain training", "processor ms per step", "of plain training")
    print(f"| {' | '.join(header)} |\n{'|---' * len(header)}|")
    alone = []
    for name, settings in chosen.items():
        case = trainer(settings, examples)
        pairs = [(timed(plain), timed(case)) for _ in range(options.rounds)]
        alone += [one for one, _ in pairs]
        shares = [[one[what] / other[what] for one, other in pairs] for what in (0, 1)]
        print_row(name, [other for _, other in pairs], shares)
    print_row("plain training", alone)


def random_examples() -> Examples:
    """Windows for `STEPS` steps, with features as sparse as after a ReLU."""
    rng = np.random.default_rng(0)
    count = STEPS * PLAIN.batch_size
    visual, audio = (
        np.maximum(rng.normal(size=(count, SECONDS, width)), 0).astype("float32")  # [N, T, D]
        for width in (VISUAL_WIDTH, AUDIO_WIDTH)
    )
    targets = rng.integers(0, CLASSES + 1, (count, SECONDS))  # [N, T]
    return Examples(visual, audio, np.ones((count, SECONDS), bool), targets)


def trainer(settings: TrainingSettings, examples: Examples) -> Callable[[], object]:
    """Trains for `STEPS` steps on each call, with a compiled graph."""
    model = build(
        ModelSettings(), visual_width=VISUAL_WIDTH, audio_width=AUDIO_WIDTH, classes=CLASSES
    )
    fit_normalization(model, examples.valid_seconds("visual"), examples.valid_seconds("audio"))
    trained = compile_model(model, settings, STEPS)
    batches = examples.batches(
        settings.batch_size,
        seed=0,
        first_epoch=0,
        epochs=1,
        augment=augmentation_for(model, settings),
    )

    def train() -> None:
        trained.fit(batches, shuffle=False, steps_per_epoch=STEPS, verbose=0)

    train()
    return train


def print_row(
    name: str, times: list[tuple[float, float]], shares: list[list[float]] | None = None
) -> None:
    """Medians of wall clock and processor time, and of the shares of plain training's speed."""
    wall, work = (statistics.median(each) for each in zip(*times, strict=True))
    steps, cost = f"{STEPS / wall:.1f}", f"{1e3 * work / STEPS:.1f}"
    of_plain = [f"{statistics.median(each):.0%}" for each in shares] if shares else ["", ""]
    print(f"| {name} | {steps} | {of_plain[0]} | {cost} | {of_plain[1]} |", flush=True)


if __name__ == "__main__":
    main()
