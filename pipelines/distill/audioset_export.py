"""Calibrate the scores of the audio backbone and write its weights: step 3.

    python -m pipelines.distill.audioset_export --export RUN/export --corpora DIR --labelled DIR
        --yamnet DIR --mn04 DIR --out avel_tf/embeddings/weights/audioset_distilled.npz

For each class the log-odds of the student become `slope * log-odds + shift`, such that they have
mean and deviation of the teachers' on held-out seconds, so that thresholds keep their meaning.
Seconds with evidence for the class weigh most, and a ridge holds slope and shift (temperature and
prior) near 1 and 0. Both become part of the last layer.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from avel_tf.utils.durable_files import atomic_path
from pipelines.distill import sounds
from pipelines.distill.audio_corpus import Teacher
from pipelines.distill.audio_measure import PARTS
from pipelines.distill.audioset import LEAST_WEIGHT
from pipelines.distill.audioset_corpus import (
    SecondTeacher,
    log_odds,
    mean_logits,
    yamnet_columns,
)

# Single seconds, and as many pairs of two; more adds nothing for most classes.
SECONDS = 3_000
# Ridge, in units of fully weighted seconds: a class needs as many to leave slope 1 and shift 0.
RIDGE_SLOPE, RIDGE_SHIFT = 30.0, 5.0
SLOPES = (0.5, 2.0)
# Floor and threshold of the zero-shot rule.
THRESHOLDS = (0.05, 0.15)
BATCH = 250


class Teachers:
    """Both teachers as one: mean log-odds of the 527 classes.

    Args:
        yamnet: SavedModel with `scores`.
        mn04: OpenVINO model with `audioset_527.csv`.
    """

    def __init__(self, yamnet: Path, mn04: Path) -> None:
        self.columns = yamnet_columns(
            yamnet.parent / "yamnet_class_map.csv", mn04 / "audioset_527.csv"
        )
        self.yamnet, self.mn04 = Teacher(yamnet), SecondTeacher(mn04)

    def __call__(self, seconds: np.ndarray) -> np.ndarray:
        """float32 `[N, 16000]` to log-odds `[N, 527]`."""
        parts = []
        for first in range(0, len(seconds), BATCH):
            part = seconds[first : first + BATCH]
            parts.append(mean_logits(self.yamnet(part)[1], self.mn04(part)[1], self.columns))
        return np.concatenate(parts)


def held_out_seconds(corpora: Path, labelled: Path, count: int = SECONDS) -> np.ndarray:
    """Seconds that the student never heard, alone and in pairs: float32 `[2 * count, 16000]`."""
    recordings = sounds.read_corpus(corpora, PARTS) + sounds.read_labelled(labelled, "held-out")
    rng = np.random.default_rng(0)
    whole = [sounds.whole_seconds(each.waveform) for each in recordings]
    # Of each recording at most five, so that long ones do not count more.
    single = np.concatenate([rng.permutation(each)[:5] for each in whole])
    single = single[rng.permutation(len(single))[:count]]
    other = single[rng.permutation(len(single))]
    levels = 10 ** (rng.uniform(-10, 10, (len(single), 1)) / 20)
    pairs = np.clip(single + levels * other, -1.0, 1.0)
    return np.concatenate([single, pairs]).astype(np.float32)


def calibration(student: np.ndarray, teacher: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Slope and shift of each class.

    Args:
        student: log-odds `[N, C]`.
        teacher: log-odds `[N, C]`.

    Returns:
        slope `[C]`, within `SLOPES`, and shift `[C]`.
    """
    evidence = np.maximum(_probability(student), _probability(teacher))
    weights = LEAST_WEIGHT + np.sqrt(evidence)  # [N, C], as in training
    total = weights.sum(0)
    mean_student = (weights * student).sum(0) / total
    mean_teacher = (weights * teacher).sum(0) / total
    # Least squares would give the student's scores a smaller spread than the teachers' have.
    spread_student = (weights * (student - mean_student) ** 2).sum(0) + RIDGE_SLOPE
    spread_teacher = (weights * (teacher - mean_teacher) ** 2).sum(0) + RIDGE_SLOPE
    slope = np.clip(np.sqrt(spread_teacher / spread_student), *SLOPES)
    shift = (mean_teacher - slope * mean_student) * total / (total + RIDGE_SHIFT)
    return slope, shift


def _probability(logits: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-logits))


def student_log_odds(weights: list[np.ndarray], seconds: np.ndarray) -> np.ndarray:
    """Log-odds `[N, 527]` of the network with these weights."""
    from avel_tf.embeddings.audioset_distilled import network

    model = network()
    model.set_weights(weights)
    parts = [
        log_odds(np.asarray(model(seconds[first : first + BATCH], training=False)["scores"]))
        for first in range(0, len(seconds), BATCH)
    ]
    return np.concatenate(parts)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in ("export", "corpora", "labelled", "yamnet", "mn04", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    options = parser.parse_args()

    with np.load(options.export / "weights.npz") as arrays:
        weights = [arrays[name].astype(np.float32) for name in sorted(arrays.files)]
    seconds = held_out_seconds(options.corpora, options.labelled)
    wanted = Teachers(options.yamnet, options.mn04)(seconds)
    found = student_log_odds(weights, seconds)
    slope, shift = calibration(found, wanted)
    # The last two arrays are kernel [768, 527] and bias [527] of the scores.
    weights[-2], weights[-1] = weights[-2] * slope, weights[-1] * slope + shift
    with atomic_path(options.out, sole_writer=True) as temporary, open(temporary, "wb") as file:
        width = len(str(len(weights)))
        np.savez(
            file,
            **{f"{place:0{width}d}": each.astype(np.float16) for place, each in enumerate(weights)},
        )
    for name, values in (("before", found), ("after", found * slope + shift)):
        for threshold in THRESHOLDS:
            above, wanted_above = (_probability(each) >= threshold for each in (values, wanted))
            print(
                f"{name}: scores of at least {threshold}: student {above.sum()}, teachers "
                f"{wanted_above.sum()}, both {(above & wanted_above).sum()}"
            )
    print(f"slopes {np.percentile(slope, [5, 50, 95])}, shifts {np.percentile(shift, [5, 50, 95])}")


if __name__ == "__main__":
    main()
