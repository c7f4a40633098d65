"""Train the visual backbone on what its teacher says of the views.

    python -m pipelines.distill.visual VIEWS RUN [--minutes 80] [--threads 1]

VIEWS is what visual_corpus.py made; passes that are added while it runs are taken up. RUN gets the
state after every few minutes (a killed run goes on from there), `weights.npz` (the averaged
weights, float16) and `log.csv`. The learning rate falls with the clock, so that the run ends when
it shall. docs/design/backbones.md has what an hour of one core gives.

Losses: the student's vector, through linear maps that are thrown away, shall equal the teacher's
(cosine, and squared error of standardised features), give the teacher's scores (cross-entropy,
weighted by how sure the teacher is), and name the picture's own class. The student sees the very
view that the teacher saw; half of the batches are mixtures of two views with mixed targets (mixup;
both as in Beyer et al. 2022, Knowledge Distillation: A Good Teacher is Patient and Consistent).
"""

from __future__ import annotations

import argparse
import csv
import logging
import math
import signal
import time
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from avel_tf.embeddings.compact import visual_network, visual_trunk
from avel_tf.utils.durable_files import atomic_path

BATCH = 128
RATE = 2e-3
WARMUP_STEPS = 200
WEIGHT_DECAY = 0.05
AVERAGING = 0.998
COSINE_WEIGHT = 2.0
SCORE_WEIGHT = 0.2
LABEL_WEIGHT = 0.3
LABEL_SMOOTHING = 0.1
# Coarse pictures cost less and teach the same at first; the last part sees them at full size.
SMALL, FULL, FULL_FROM = 56, 80, 0.65
SAVE_SECONDS = 180
# Keras forgets nine tenths of a statistic within 22 batches.
SETTLING_BATCHES = 60
MEASURES = ("cosine", "squared", "score", "label")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("views", type=Path)
    parser.add_argument("run", type=Path)
    parser.add_argument("--minutes", type=float, default=80.0, help="of the clock, in all")
    parser.add_argument("--threads", type=int, default=2, help="of the processor")
    parser.add_argument("--batch", type=int, default=BATCH, help="views in a step")
    options = parser.parse_args()
    options.run.mkdir(parents=True, exist_ok=True)
    tf.config.threading.set_intra_op_parallelism_threads(options.threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    keras.utils.set_random_seed(0)

    views = Views(options.views)
    student = Student(views.width, views.scores, len(views.classes))
    student.fit_standardisation(views.passes[0]["features"])
    state = State(options.run, student)
    seconds, step = state.restore()
    stopped: list[int] = []
    signal.signal(signal.SIGTERM, lambda *_: stopped.append(1))
    last = saved = time.monotonic()
    sums = np.zeros(len(MEASURES) + 1)
    finished = seconds >= 60 * options.minutes
    while not finished:
        progress = seconds / (60 * options.minutes)
        rng = np.random.default_rng([11, step])
        batch = views.draw(rng, options.batch)
        size = FULL if progress >= FULL_FROM else SMALL
        rate = RATE * min(1.0, (step + 1) / WARMUP_STEPS) * 0.5 * (1 + math.cos(math.pi * progress))
        losses = student.learn(
            *batch, tf.constant(size), tf.constant(rate, tf.float32), tf.constant(step, tf.int32)
        )
        sums += [*losses.numpy(), 1]
        step += 1
        now = time.monotonic()
        seconds, last = seconds + now - last, now
        finished = bool(stopped) or seconds >= 60 * options.minutes
        if finished or now - saved > SAVE_SECONDS:
            means = dict(zip(MEASURES, sums[:-1] / max(sums[-1], 1), strict=True))
            state.save(seconds, step, **means, size=size)
            views.look_again()
            saved, sums = now, np.zeros(len(MEASURES) + 1)
    if seconds >= 60 * options.minutes:
        student.settle(views, options.batch)
        state.save_weights(options.run / "weights.npz")


class Views:
    """All passes that are there, in memory: 0.6 GB for each over 22,000 pictures."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.classes = (folder / "classes.txt").read_text(encoding="utf-8").splitlines()
        self.passes: list[dict[str, np.ndarray]] = []
        self.look_again()
        if not self.passes:
            raise FileNotFoundError(f"{folder} holds no view-0.npz; visual_corpus.py makes it.")
        self.width = self.passes[0]["features"].shape[1]
        self.scores = self.passes[0]["probabilities"].shape[1]

    def look_again(self) -> None:
        while (path := self.folder / f"view-{len(self.passes)}.npz").is_file():
            with np.load(path) as found:
                self.passes.append({name: found[name] for name in found.files})

    def draw(self, rng: np.random.Generator, count: int) -> list[tf.Tensor]:
        """Pictures [B, 80, 80, 3] of bytes, vectors [B, D], probabilities [B, 1001], classes [B].

        The class is -1 where none is known.
        """
        rows = rng.integers(0, len(self.passes[0]["labels"]), count)
        chosen = [self.passes[number] for number in rng.integers(0, len(self.passes), count)]
        kinds = {
            "pictures": tf.uint8, "features": tf.float32, "probabilities": tf.float32,
            "labels": tf.int32,
        }  # fmt: skip
        return [
            tf.cast(
                np.stack([each[name][row] for each, row in zip(chosen, rows, strict=True)]), kind
            )
            for name, kind in kinds.items()
        ]


class Student:
    """The network, what is thrown away after training, and one step of learning."""

    def __init__(self, teacher_width: int, scores: int, classes: int) -> None:
        self.trunk = visual_trunk()
        vectors = self.trunk.output
        as_teacher = keras.layers.Dense(teacher_width, dtype="float32", name="as_teacher")(vectors)
        as_class = keras.layers.Dense(classes, dtype="float32", name="as_class")(vectors)
        as_scores = keras.layers.Dense(scores, dtype="float32", name="as_scores")(vectors)
        self.model = keras.Model(self.trunk.input, [as_teacher, as_scores, as_class])
        self.optimizer = keras.optimizers.AdamW(RATE, weight_decay=WEIGHT_DECAY)
        self.optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
        self.optimizer.build(self.model.trainable_variables)
        # Averages of the weights, and of the statistics of batch normalisation with them.
        self.averages = [tf.Variable(w, trainable=False) for w in self.trunk.variables]
        self.mean = tf.Variable(tf.zeros([teacher_width]), trainable=False)
        self.scale = tf.Variable(tf.ones([teacher_width]), trainable=False)

    @property
    def variables(self) -> list:
        return [*self.model.variables, *self.optimizer.variables, *self.averages]

    def fit_standardisation(self, features: np.ndarray) -> None:
        features = features.astype(np.float32)
        self.mean.assign(features.mean(0))
        self.scale.assign(features.std(0) + 0.05)

    @tf.function(reduce_retracing=True)
    def learn(
        self,
        pictures: tf.Tensor,
        features: tf.Tensor,
        scores: tf.Tensor,
        labels: tf.Tensor,
        size: tf.Tensor,
        rate: tf.Tensor,
        step: tf.Tensor,
    ) -> tf.Tensor:
        """One step; returns the losses in the order of `MEASURES`."""
        x = self._augmented(tf.cast(pictures, tf.float32) / 255.0, size, step)
        known = tf.cast(labels >= 0, tf.float32)[:, None]
        classes = self.model.output_shape[2][-1]
        wanted = tf.one_hot(labels, classes) * (1 - LABEL_SMOOTHING) + LABEL_SMOOTHING / classes
        # Mixup of each picture with the next one of the batch; every second batch stays as it is.
        share = tf.random.stateless_uniform([tf.shape(x)[0], 1], seed=[3, step], minval=0.5)
        share = tf.where(step % 2 == 0, tf.ones_like(share), share)

        def mixed(values: tf.Tensor, share: tf.Tensor = share) -> tf.Tensor:
            return share * values + (1 - share) * tf.roll(values, 1, 0)

        x = mixed(x, share[:, :, None, None])
        features, scores, wanted = mixed(features), mixed(scores), mixed(wanted * known)
        sure = tf.reduce_max(scores, axis=-1)
        with tf.GradientTape() as tape:
            said, scored, named = self.model(x, training=True)
            squared = tf.reduce_mean(tf.square(said - (features - self.mean) / self.scale))
            cosine = 1.0 + tf.reduce_mean(
                keras.losses.cosine_similarity(features, said * self.scale + self.mean)
            )
            wrong = -tf.reduce_sum(scores * tf.nn.log_softmax(scored), axis=-1)
            score = tf.reduce_sum(sure * wrong) / tf.reduce_sum(sure)
            label = -tf.reduce_mean(tf.reduce_sum(wanted * tf.nn.log_softmax(named), axis=-1))
            loss = squared + COSINE_WEIGHT * cosine + SCORE_WEIGHT * score + LABEL_WEIGHT * label
        self.optimizer.learning_rate.assign(rate)
        gradients = tape.gradient(loss, self.model.trainable_variables)
        self.optimizer.apply(gradients, self.model.trainable_variables)
        keep = tf.minimum(
            AVERAGING, (1.0 + tf.cast(step, tf.float32)) / (10.0 + tf.cast(step, tf.float32))
        )
        for average, variable in zip(self.averages, self.trunk.variables, strict=True):
            average.assign(keep * average + (1 - keep) * tf.cast(variable, average.dtype))
        return tf.stack([cosine, squared, score, label])

    def settle(self, views: Views, count: int) -> None:
        """Take the statistics of batch normalisation anew, of views as they are at full size.

        What was averaged is of mixtures in changing light, and most of it of small pictures.

        Args:
            views: The views.
            count: Views in a batch.

        Reference:
            Wu and Johnson 2021, Rethinking "Batch" in BatchNorm.
        """
        for average, variable in zip(self.averages, self.trunk.variables, strict=True):
            variable.assign(average)
        forward = tf.function(lambda pictures: self.trunk(pictures, training=True))
        for number in range(SETTLING_BATCHES):
            pictures = views.draw(np.random.default_rng([13, number]), count)[0]
            forward(tf.cast(pictures, tf.float32) / 255.0)
        for average, variable in zip(self.averages, self.trunk.variables, strict=True):
            average.assign(tf.cast(variable, average.dtype))

    @staticmethod
    def _augmented(x: tf.Tensor, size: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
        """Mirror, light and colour: what does not change what the teacher should say."""
        count = tf.shape(x)[0]

        def draw(number: int, low: float, high: float, channels: int = 1) -> tf.Tensor:
            return tf.random.stateless_uniform(
                [count, 1, 1, channels], seed=[number, step], minval=low, maxval=high
            )

        x = tf.where(draw(0, 0.0, 1.0) < 0.5, x[:, :, ::-1], x)
        x = tf.image.resize(x, [size, size], antialias=True)
        mean = tf.reduce_mean(x, axis=[1, 2], keepdims=True)
        x = (x - mean) * draw(1, 0.7, 1.3) + mean * draw(2, 0.7, 1.3)
        x = x * draw(4, 0.9, 1.1, 3)
        return tf.clip_by_value(x, 0.0, 1.0)

    def backbone_weights(self) -> list[np.ndarray]:
        """The averaged weights, float16, in the order of `visual_network().get_weights()`."""
        network = visual_network()
        named = {v.path: a for v, a in zip(self.trunk.variables, self.averages, strict=True)}
        return [named[v.path].numpy().astype(np.float16) for v in network.weights]


class State:
    """Save the checkpoint, the current weights and the log."""

    def __init__(self, run: Path, student: Student) -> None:
        self.run = run
        self.student = student

    def restore(self) -> tuple[float, int]:
        path = self.run / "state.npz"
        if not path.is_file():
            return 0.0, 0
        with np.load(path) as found:
            for number, variable in enumerate(self.student.variables):
                variable.assign(found[f"v{number}"])
            return float(found["seconds"]), int(found["step"])

    def save(self, seconds: float, step: int, **losses: float) -> None:
        arrays = {f"v{n}": v.numpy() for n, v in enumerate(self.student.variables)}
        _save(self.run / "state.npz", seconds=seconds, step=step, **arrays)
        self.save_weights(self.run / "weights.npz")
        self.save_weights(self.run / f"weights-{step:06d}.npz")
        row = {"minutes": round(seconds / 60, 2), "step": step,
               **{key: round(float(value), 4) for key, value in losses.items()}}  # fmt: skip
        path = self.run / "log.csv"
        new = not path.is_file()
        with open(path, "a", newline="") as file:
            table = csv.DictWriter(file, row, lineterminator="\n")
            if new:
                table.writeheader()
            table.writerow(row)
        logging.info(", ".join(f"{key} {value}" for key, value in row.items()))

    def save_weights(self, path: Path) -> None:
        weights = self.student.backbone_weights()
        _save(path, **{f"{number:03d}": weight for number, weight in enumerate(weights)})


def _save(path: Path, **arrays: np.ndarray | float) -> None:
    """Write an .npz file atomically."""
    with atomic_path(path, sole_writer=True) as temporary:
        np.savez(temporary, **arrays)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    main()
