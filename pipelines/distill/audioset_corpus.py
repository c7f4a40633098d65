"""Mix seconds of sound and store the scores of two AudioSet classifiers: step 1 of the backbone.

    python -m pipelines.distill.audioset_corpus --corpora DIR --labelled DIR --clips DIR
        --yamnet DIR --mn04 DIR --out SECONDS [--first 0 --shards 16]

CORPORA and CLIPS are as of `audio_corpus.py`; LABELLED has `manifest.tsv` and sounds by class.
YAMNET is a SavedModel with `scores`, MN04 the folder of an OpenVINO model: 32 kHz to 527 AudioSet
scores and an embedding. SECONDS becomes one folder for each shard of 5,000 seconds with the arrays
`log_mel` [n, 100, 64], `yamnet` [n, 1024], `mn04` [n, 512] and `logits` [n, 527], float16; 17 kB
for each second. A shard depends on its number alone, and is not made twice.
"""

from __future__ import annotations

import argparse
import csv
import os
import shutil
import time
from pathlib import Path

import numpy as np
import soxr

from pipelines.distill import sounds
from pipelines.distill.audio_corpus import BATCH, SHARD_SECONDS, Teacher

# Of the seconds; every class of the labelled sounds has the same part of what is left.
SHARES = {name: 0.55 * share for name, share in sounds.SHARES.items()}
LABELLED_SHARE = 0.45
SMALLEST, LARGEST = 1e-4, 1 - 1e-4  # of the teachers' scores, before log-odds
# MN04 was trained on ten seconds. A second repeated once correlates best with the whole recording
# (0.93 over 60 recordings; a single second 0.86, three times 0.93).
REPEATS = 2


class SecondTeacher:
    """MN04-AS, asked about single seconds.

    Args:
        folder: `model.xml` of OpenVINO and `audioset_527.csv`.
    """

    def __init__(self, folder: Path) -> None:
        import openvino

        settings = {"INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "f32"}
        self.model = openvino.Core().compile_model(str(folder / "model.xml"), "CPU", settings)

    def __call__(self, seconds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """float32 `[N, 16000]` to embeddings `[N, 512]` and scores `[N, 527]` in [0, 1]."""
        waveform = np.stack([soxr.resample(second, 16_000, 32_000) for second in seconds])
        scores, embeddings = self.model([np.tile(waveform, (1, REPEATS))]).values()
        return np.asarray(embeddings), np.asarray(scores)


def log_odds(scores: np.ndarray) -> np.ndarray:
    """Log-odds of scores, which are limited to [1e-4, 1 - 1e-4]."""
    scores = np.clip(scores, SMALLEST, LARGEST)
    return np.log(scores) - np.log1p(-scores)


def yamnet_columns(yamnet: Path, audioset: Path) -> np.ndarray:
    """Index in YAMNet's scores of each of the 527 classes, -1 where it has none."""
    places = {row["mid"]: int(row["index"]) for row in _rows(yamnet)}
    return np.array([places.get(row["mid"], -1) for row in _rows(audioset)])


def _rows(path: Path) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def mean_logits(yamnet: np.ndarray, mn04: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Mean of the teachers' log-odds `[N, 527]`; MN04's alone where YAMNet has no class."""
    both = log_odds(mn04)
    known = columns >= 0
    both[:, known] = (both[:, known] + log_odds(yamnet[:, columns[known]])) / 2
    return both


def shares_of(recordings: list[sounds.Recording]) -> dict[str, float]:
    """Share of the seconds that is taken from each source."""
    classes = sorted({each.source for each in recordings if each.source.startswith("class/")})
    return {**SHARES, **{name: LABELLED_SHARE / len(classes) for name in classes}}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in ("corpora", "labelled", "clips", "yamnet", "mn04", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--first", type=int, default=0, help="number of the first shard")
    parser.add_argument("--shards", type=int, default=16)
    options = parser.parse_args()

    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    from avel_tf.embeddings.log_mel import LogMel

    recordings = sounds.read_corpus(options.corpora) + sounds.synthesise()
    recordings += sounds.read_labelled(options.labelled) + sounds.read_clips(options.clips)
    mixer = sounds.SecondMixer(recordings, sounds.class_names(recordings), shares_of(recordings))
    columns = yamnet_columns(
        options.yamnet.parent / "yamnet_class_map.csv", options.mn04 / "audioset_527.csv"
    )
    yamnet, mn04, log_mel = Teacher(options.yamnet), SecondTeacher(options.mn04), LogMel()
    options.out.mkdir(parents=True, exist_ok=True)
    for number in range(options.first, options.first + options.shards):
        folder = options.out / f"shard-{number:03d}"
        if folder.exists():
            continue
        began = time.process_time()
        rng = np.random.default_rng([sounds.SYNTHETIC_SEED, 1, number])
        parts: dict[str, list[np.ndarray]] = {}
        for first in range(0, SHARD_SECONDS, BATCH):
            count = min(BATCH, SHARD_SECONDS - first)
            seconds = np.stack([mixer.draw(rng)[0] for _ in range(count)])  # [N, 16000]
            first_embeddings, first_scores = yamnet(seconds)
            second_embeddings, second_scores = mn04(seconds)
            for name, values in (
                ("log_mel", log_mel(seconds).numpy()[..., 0]),
                ("yamnet", first_embeddings),
                ("mn04", second_embeddings),
                ("logits", mean_logits(first_scores, second_scores, columns)),
            ):
                parts.setdefault(name, []).append(values.astype(np.float16))
        unfinished = folder.with_name(f".{folder.name}.{os.getpid()}")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        for name, values in parts.items():
            np.save(unfinished / f"{name}.npy", np.concatenate(values))
        unfinished.rename(folder)
        print(f"{folder}: {time.process_time() - began:.0f} s of CPU", flush=True)


if __name__ == "__main__":
    main()
