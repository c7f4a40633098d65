"""Mix seconds of sound and write down what the teacher says of each: step 1 of the audio backbone.

    python -m pipelines.distill.audio_corpus --corpora DIR --teacher DIR --out SECONDS [--clips DIR]

CORPORA holds `audio.zip` and `manifest.tsv`, TEACHER is YAMNet as a SavedModel with `scores`,
CLIPS a folder with `annotations.csv`; their contents are described in docs/design/backbones.md.
SECONDS becomes one folder for each shard of 5,000 seconds, with four arrays that training maps
into memory: `log_mel` [n, 100, 64], `embedding` [n, 1024], `scores` [n, 521], `label` [n]; 16 kB
for each second. A shard depends on its number alone, is complete or not there, and is not made
twice: run it again to go on after a stop, or with more `--shards` for more.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import time
from pathlib import Path

import numpy as np

from pipelines.distill import sounds

SHARD_SECONDS = 5_000
BATCH = 250


class Teacher:
    """YAMNet, asked about single seconds.

    Its windows are 0.975 s long and begin every 0.48 s. Seconds that are laid out three windows
    apart are heard alone, and every third window is one's beginning.
    """

    HOP = 7_680
    WINDOWS_APART = 3

    def __init__(self, folder: Path) -> None:
        import tensorflow as tf

        self.model = tf.saved_model.load(str(folder))

    def __call__(self, seconds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """float32 `[N, 16000]` to embeddings `[N, 1024]` and scores `[N, 521]` in [0, 1]."""
        apart = self.HOP * self.WINDOWS_APART
        waveform = np.pad(seconds, ((0, 0), (0, apart - seconds.shape[1]))).reshape(-1)
        count = len(seconds)
        embeddings, scores = (
            answer(waveform).numpy()[:: self.WINDOWS_APART][:count]
            for answer in (self.model, self.model.scores)
        )
        return embeddings, scores


def write_shard(
    folder: Path, number: int, count: int, mixer: sounds.SecondMixer, teacher: Teacher
) -> None:
    """Mix `count` seconds, ask the teacher, and write the four arrays."""
    from avel_tf.embeddings.log_mel import LogMel

    log_mel = LogMel()
    rng = np.random.default_rng([sounds.SYNTHETIC_SEED, number])
    columns: dict[str, list[np.ndarray]] = {}
    for first in range(0, count, BATCH):
        drawn = [mixer.draw(rng) for _ in range(min(BATCH, count - first))]
        seconds = np.stack([second for second, _ in drawn])  # [N, 16000]
        embeddings, scores = teacher(seconds)
        batch = {
            "log_mel": log_mel(seconds).numpy()[..., 0].astype(np.float16),  # [N, 100, 64]
            "embedding": embeddings.astype(np.float16),
            "scores": scores.astype(np.float16),
            "label": np.array([label for _, label in drawn], np.int16),
        }
        for name, values in batch.items():
            columns.setdefault(name, []).append(values)
    unfinished = folder.with_name(f".{folder.name}.{os.getpid()}")
    unfinished.mkdir(parents=True)
    for name, parts in columns.items():
        np.save(unfinished / f"{name}.npy", np.concatenate(parts))
    unfinished.rename(folder)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--corpora", type=Path, required=True)
    parser.add_argument("--teacher", type=Path, required=True)
    parser.add_argument("--clips", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--shards", type=int, default=24)
    options = parser.parse_args()

    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    recordings = sounds.read_corpus(options.corpora) + sounds.synthesise()
    if options.clips:
        recordings += sounds.read_clips(options.clips)
    classes = sounds.class_names(recordings)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "classes.json").write_text(json.dumps(classes, indent=1))
    for stale in options.out.glob(".shard-*"):
        shutil.rmtree(stale)

    mixer = sounds.SecondMixer(recordings, classes)
    teacher = Teacher(options.teacher)
    for number in range(options.shards):
        folder = options.out / f"shard-{number:03d}"
        if folder.exists():
            continue
        began = time.process_time()
        write_shard(folder, number, SHARD_SECONDS, mixer, teacher)
        print(f"{folder}: {time.process_time() - began:.0f} s of CPU", flush=True)


if __name__ == "__main__":
    main()
