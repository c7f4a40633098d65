"""Train the audio backbone to hear as its teacher does: step 2 of the audio backbone.

    python -m pipelines.distill.audio --seconds SECONDS --out RUN --minutes 75 [--corpora DIR
        --teacher DIR]

SECONDS is what `audio_corpus.py` wrote; shards that it adds meanwhile are used from the next epoch
on. The learning rate falls to nothing over `--minutes` of training, however fast the machine is.
Killed or stopped (SIGTERM), the same command goes on from the last checkpoint. With CORPORA and
TEACHER a probe on held-out sounds is written to RUN/curve.csv every few minutes.

RUN/export/weights.npz holds the averaged weights of `audio_network()`, float16, in the order of
`model.get_weights()`; RUN/export/heads.npz what is needed to ask the student for the teacher's
answers, and is not shipped.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from avel_tf.utils.durable_files import atomic_path

BATCH = 128
PEAK_LEARNING_RATE = 2e-3
WARM_UP_STEPS = 300
WEIGHT_DECAY = 0.02
AVERAGE = 0.998  # of the weights, over about five hundred steps
# The teacher's values are matched in units of their own deviation; none counts as smaller than
# this part of the mean deviation, or the rarest would count most.
LEAST_DEVIATION = 0.2
COSINE_WEIGHT = 2.0
SCORES_WEIGHT = 0.05  # of a sum over 521 classes
LABEL_WEIGHT = 0.1
LABEL_SMOOTHING = 0.1
# Masks and shifts that leave the teacher's answer nearly true: an eighth of the bands, a tenth of
# a second, 20 ms, 2 dB (in units of `LogMel`).
MASKED_BANDS = 8
MASKED_FRAMES = 10
SHIFTED_FRAMES = 2
LOUDER = 2.0 / 70.0


class Seconds:
    """Shards of seconds, as arrays on disk.

    Args:
        folder: Folder of the shards.
        names: Names of their arrays.
    """

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        shards = sorted(folder.glob("shard-*"))
        if not shards:
            raise FileNotFoundError(
                f"{folder} holds no shard-000: write it with pipelines/distill/audio_corpus.py."
            )
        self.shards = [
            {name: np.load(shard / f"{name}.npy", mmap_mode="r") for name in names}
            for shard in shards
        ]
        self.names = names
        self.starts = np.cumsum([0] + [len(shard[names[0]]) for shard in self.shards])

    def __len__(self) -> int:
        return int(self.starts[-1])

    def batch(self, indices: np.ndarray) -> tuple[np.ndarray, ...]:
        """The arrays of a batch, `[B, ...]` each, as float32 or int32."""
        indices = np.sort(indices)  # the disk likes it, the order within a batch is nothing
        shard_of = np.searchsorted(self.starts, indices, side="right") - 1
        parts = [
            tuple(
                self.shards[shard][name][indices[shard_of == shard] - self.starts[shard]]
                for name in self.names
            )
            for shard in np.unique(shard_of)
        ]
        return tuple(
            column.astype(np.float32 if column.dtype.kind == "f" else np.int32)
            for column in map(np.concatenate, zip(*parts, strict=True))
        )


def disturb(rng: np.random.Generator, log_mel: np.ndarray) -> np.ndarray:
    """Mask, shift and level each spectrogram of `[B, 100, 64]` anew.

    Reference:
        Park et al. 2019, SpecAugment.
    """
    batch, frames, bands = log_mel.shape
    disturbed = np.empty_like(log_mel)
    floor = log_mel.min(axis=(1, 2))
    for index in range(batch):
        shift = rng.integers(-SHIFTED_FRAMES, SHIFTED_FRAMES + 1)
        order = np.clip(np.arange(frames) - shift, 0, frames - 1)
        spectrogram = log_mel[index, order]
        if rng.random() < 0.5:
            width = rng.integers(1, MASKED_BANDS + 1)
            first = rng.integers(0, bands - width + 1)
            spectrogram[:, first : first + width] = floor[index]
        if rng.random() < 0.5:
            width = rng.integers(1, MASKED_FRAMES + 1)
            first = rng.integers(0, frames - width + 1)
            spectrogram[first : first + width] = floor[index]
        disturbed[index] = spectrogram + rng.uniform(-LOUDER, LOUDER)
    return disturbed


def learning_rate(step: int, share_of_time: float) -> float:
    """Up over the first steps, then along half a cosine to nothing at the end of the time."""
    cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, share_of_time)))
    return PEAK_LEARNING_RATE * min(1.0, (step + 1) / WARM_UP_STEPS) * cosine


class Student:
    """The network, the heads that are thrown away, the optimizer and the averaged weights.

    Attributes:
        ARRAYS: Arrays of the shards: the log-mel, then the arguments of `_losses`.
        LOSSES: Names of the losses.

    Args:
        mean, deviation: of the teacher's embeddings, `[1024]`.
        scores: how many classes the teacher scores.
        classes: how many labels are learned.
    """

    ARRAYS: tuple[str, ...] = ("log_mel", "embedding", "scores", "label")
    LOSSES: tuple[str, ...] = ("feature", "cosine", "scores", "label")

    def __init__(self, mean: np.ndarray, deviation: np.ndarray, scores: int, classes: int) -> None:
        import keras
        import tensorflow as tf

        from avel_tf.embeddings.compact import audio_network

        keras.utils.set_random_seed(1)
        self.mean, self.deviation = tf.constant(mean), tf.constant(deviation)
        self.network = audio_network()
        after_log_mel = keras.Model(
            self.network.get_layer("log_mel").output, self.network.output, name="after_log_mel"
        )
        vectors = after_log_mel.output
        self.model = keras.Model(
            after_log_mel.input,
            [
                keras.layers.Dense(len(mean), name="embedding")(vectors),
                keras.layers.Dense(scores, name="scores", bias_initializer=_rare)(vectors),
                keras.layers.Dense(classes, name="label")(vectors),
            ],
        )
        self._prepare()

    def _prepare(self) -> None:
        """Optimizer and averages of `self.model`."""
        import keras
        import tensorflow as tf

        self.optimizer = keras.optimizers.AdamW(1e-3, weight_decay=WEIGHT_DECAY, clipnorm=5.0)
        self.optimizer.exclude_from_weight_decay(var_names=["gamma", "beta", "bias"])
        self.optimizer.build(self.model.trainable_variables)
        self.averages = [tf.Variable(each.value, trainable=False) for each in self.model.weights]
        self.step = tf.function(self._step)

    def _losses(self, outputs, embedding, scores, label):
        """Losses in the order of `LOSSES`, and their weights."""
        import tensorflow as tf

        found, logits, named = outputs
        feature, cosine = feature_losses(found, embedding, self.mean, self.deviation)
        score = tf.reduce_mean(
            tf.reduce_sum(tf.nn.sigmoid_cross_entropy_with_logits(labels=scores, logits=logits), -1)
        )
        known = tf.cast(label >= 0, tf.float32)  # [B]
        classes = named.shape[-1]
        smooth = tf.one_hot(label, classes) * (1 - LABEL_SMOOTHING) + LABEL_SMOOTHING / classes
        naming = tf.nn.softmax_cross_entropy_with_logits(labels=smooth, logits=named)  # [B]
        naming = tf.reduce_sum(naming * known) / tf.maximum(1.0, tf.reduce_sum(known))
        losses = (feature, cosine, score, naming)
        return losses, (1.0, COSINE_WEIGHT, SCORES_WEIGHT, LABEL_WEIGHT)

    def _step(self, log_mel, wanted, average):
        """One step on a batch; returns the losses."""
        import tensorflow as tf

        with tf.GradientTape() as tape:
            outputs = self.model(log_mel, training=True)
            losses, weights = self._losses(outputs, *wanted)
            loss = sum(each * weight for each, weight in zip(losses, weights, strict=True))
        variables = self.model.trainable_variables
        self.optimizer.apply(tape.gradient(loss, variables), variables)
        for mean, weight in zip(self.averages, self.model.weights, strict=True):
            mean.assign(average * mean + (1.0 - average) * weight)
        return tf.stack(losses)

    def state(self) -> dict[str, np.ndarray]:
        """Everything that training goes on from."""
        groups = {
            "weight": self.model.weights,
            "average": self.averages,
            "optimizer": self.optimizer.variables,
        }
        return {
            f"{group}/{index}": np.asarray(each)
            for group, members in groups.items()
            for index, each in enumerate(members)
        }

    def restore(self, state: dict[str, np.ndarray]) -> None:
        for index, each in enumerate(self.model.weights):
            each.assign(state[f"weight/{index}"])
            self.averages[index].assign(state[f"average/{index}"])
        for index, each in enumerate(self.optimizer.variables):
            each.assign(state[f"optimizer/{index}"])

    def averaged(self) -> tuple[list[np.ndarray], dict[str, np.ndarray]]:
        """The averaged weights of the network, in its own order, and of the heads by name."""
        value_of = {
            each.path: average.numpy()
            for each, average in zip(self.model.weights, self.averages, strict=True)
        }
        network = [value_of.pop(each.path) for each in self.network.weights]
        return network, {**self._units(), **value_of}

    def _units(self) -> dict[str, np.ndarray]:
        return {"mean": self.mean.numpy(), "deviation": self.deviation.numpy()}


def feature_losses(found, embedding, mean, deviation):
    """Squared error in units of the deviation, and one minus the cosine.

    Args:
        found: Standardised values of the student, `[B, D]`.
        embedding: The teacher's, `[B, D]`, of this mean and deviation `[D]`.
    """
    import tensorflow as tf

    wanted = (embedding - mean) / deviation  # [B, D]
    feature = tf.reduce_mean(tf.square(found - wanted))
    return feature, 1.0 - tf.reduce_mean(_cosine(found * deviation + mean, embedding))


def _rare(shape: tuple[int, ...], dtype: str | None = None) -> object:
    """Scores begin at about what the teacher gives a class on average: 1 in 500."""
    import keras

    return keras.ops.full(shape, -6.0, dtype=dtype)


def _cosine(first, second):
    import tensorflow as tf

    return tf.reduce_sum(tf.nn.l2_normalize(first, -1) * tf.nn.l2_normalize(second, -1), -1)


def write_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write an .npz file atomically."""
    with atomic_path(path, sole_writer=True) as temporary:
        np.savez(temporary, **arrays)


def export(student: Student, folder: Path) -> None:
    """Write the averaged weights as float16, numbered in the order of `model.get_weights()`."""
    network, heads = student.averaged()
    width = len(str(len(network)))
    write_arrays(
        folder / "weights.npz",
        {f"{index:0{width}d}": each.astype(np.float16) for index, each in enumerate(network)},
    )
    write_arrays(
        folder / "heads.npz", {name.replace("/", "."): each for name, each in heads.items()}
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, required=True, help="of training, probes included")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--corpora", type=Path, help="for the probe of curve.csv")
    parser.add_argument("--teacher", type=Path, help="for the probe of curve.csv")
    parser.add_argument("--probe-every", type=float, default=6.0, metavar="MINUTES")
    options = parser.parse_args()
    use_threads(options.threads)

    # The teacher's values in the first shard: the units of the feature loss.
    first = Seconds(options.seconds, Student.ARRAYS).shards[0]
    classes = json.loads((options.seconds / "classes.json").read_text())
    student = Student(*units_of(first["embedding"]), first["scores"].shape[1], len(classes))
    probe = None
    if options.corpora and options.teacher:
        from pipelines.distill.audio_measure import CurveProbe

        probe = CurveProbe(options.corpora, options.teacher)
    train(student, options, probe)


def use_threads(count: int) -> None:
    """Limit TensorFlow to so many threads."""
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(count)
    tf.config.threading.set_inter_op_parallelism_threads(1)


def units_of(embeddings: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation `[D]` of a teacher's embeddings `[n, D]`."""
    embeddings = embeddings.astype(np.float32)
    deviation = embeddings.std(axis=0)
    return embeddings.mean(axis=0), np.maximum(deviation, LEAST_DEVIATION * deviation.mean())


def train(
    student: Student,
    options: argparse.Namespace,
    probe: Callable[[list[np.ndarray]], dict[str, float]] | None = None,
) -> None:
    """Train until the time is over or a signal arrives; goes on from RUN/checkpoint.npz.

    Args:
        student: The student.
        options: `seconds`, `out`, `minutes` and `probe_every` of the command line.
        probe: Figures of the averaged weights, for RUN/curve.csv.
    """
    stopped = []
    signal.signal(signal.SIGTERM, lambda *_: stopped.append(True))
    signal.signal(signal.SIGINT, lambda *_: stopped.append(True))
    options.out.mkdir(parents=True, exist_ok=True)

    # 1. Where an earlier run stopped.
    checkpoint = options.out / "checkpoint.npz"
    step, epoch, trained = 0, 0, 0.0
    if checkpoint.exists():
        with np.load(checkpoint) as state:
            student.restore(dict(state))
            step, epoch, trained = int(state["step"]), int(state["epoch"]), float(state["trained"])
        print(f"going on from step {step}, after {trained / 60:.1f} minutes", flush=True)

    def save() -> None:
        progress = {"step": np.array(step), "epoch": np.array(epoch), "trained": np.array(trained)}
        write_arrays(checkpoint, {**student.state(), **progress})
        export(student, options.out / "export")

    # 2. Epochs over the shards there are, until the time is over.
    curve = options.out / "curve.csv"
    next_probe = trained_before = trained
    began = time.monotonic()
    while trained < options.minutes * 60 and not stopped:
        seconds = Seconds(options.seconds, student.ARRAYS)
        rng = np.random.default_rng([epoch, step])
        order = rng.permutation(len(seconds))
        losses = []
        for begin in range(0, len(order) - BATCH + 1, BATCH):
            trained = trained_before + time.monotonic() - began
            if trained >= next_probe or trained >= options.minutes * 60 or stopped:
                save()
                if probe and not stopped:
                    empty = np.full(len(student.LOSSES), np.nan)
                    found = np.mean(losses[-500:], axis=0) if losses else empty
                    row = {
                        "minutes": round(trained / 60, 1),
                        "cpu_minutes": round(time.process_time() / 60, 1),
                        "step": step,
                        "seconds_seen": step * BATCH,
                        **dict(zip(student.LOSSES, found, strict=True)),
                        **probe(student.averaged()[0]),
                    }
                    _append(curve, row)
                    print(row, flush=True)
                next_probe = trained + options.probe_every * 60
                if trained >= options.minutes * 60 or stopped:
                    break
            log_mel, *wanted = seconds.batch(order[begin : begin + BATCH])
            student.optimizer.learning_rate.assign(
                learning_rate(step, trained / (options.minutes * 60))
            )
            average = np.float32(min(AVERAGE, (1 + step) / (10 + step)))
            found = student.step(disturb(rng, log_mel)[..., None], tuple(wanted), average)
            losses.append(found.numpy())
            step += 1
            if step % 100 == 0:
                means = zip(student.LOSSES, np.mean(losses[-100:], axis=0), strict=True)
                print(
                    f"step {step} epoch {epoch} minute {trained / 60:.1f} of {len(order)} seconds: "
                    f"{', '.join(f'{name} {mean:.3f}' for name, mean in means)}",
                    flush=True,
                )
        epoch += 1
    save()


def _append(path: Path, row: dict[str, float]) -> None:
    fresh = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, list(row))
        if fresh:
            writer.writeheader()
        writer.writerow({name: f"{value:.5g}" for name, value in row.items()})


if __name__ == "__main__":
    main()
