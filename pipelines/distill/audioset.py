"""Train the audio backbone with AudioSet scores: step 2.

    python -m pipelines.distill.audioset --seconds SECONDS --out RUN --minutes 600 [--bfloat16]

SECONDS is what `audioset_corpus.py` wrote; shards that it adds meanwhile are used from the next
epoch on. The learning rate falls to nothing over `--minutes` of training. Killed or stopped
(SIGTERM), the same command goes on from the last checkpoint.

RUN/export/weights.npz holds the averaged weights of `audioset_distilled.network()`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from pipelines.distill.audio import (
    COSINE_WEIGHT,
    Seconds,
    Student,
    feature_losses,
    train,
    units_of,
    use_threads,
)

SCORES_WEIGHT = 0.05  # of a sum over 527 classes
LOGITS_WEIGHT = 0.3
# Weight of a class without evidence in the error of its log-odds; 1 is a certain one.
LEAST_WEIGHT = 0.01


class ScoredStudent(Student):
    """A student whose class scores stay; only the maps to both embeddings are thrown away.

    Args:
        yamnet, mn04: mean and deviation of each teacher's embeddings.
    """

    ARRAYS = ("log_mel", "yamnet", "mn04", "logits")
    LOSSES = ("yamnet", "yamnet_cosine", "mn04", "mn04_cosine", "scores", "log_odds")

    def __init__(
        self, yamnet: tuple[np.ndarray, np.ndarray], mn04: tuple[np.ndarray, np.ndarray]
    ) -> None:
        import keras

        from avel_tf.embeddings.audioset_distilled import network

        keras.utils.set_random_seed(1)
        self.yamnet, self.mn04 = yamnet, mn04
        self.network = network()
        after_log_mel = keras.Model(
            self.network.get_layer("log_mel").output, self.network.get_layer("features").output
        )
        features = after_log_mel.output
        scores = self.network.get_layer("scores")
        # The teachers give a class about 1 in 500 on average.
        scores.bias.assign(np.full(scores.bias.shape, -6.0))
        self.model = keras.Model(
            after_log_mel.input,
            [
                keras.layers.Dense(len(yamnet[0]), dtype="float32", name="yamnet")(features),
                keras.layers.Dense(len(mn04[0]), dtype="float32", name="mn04")(features),
                scores(features),
            ],
        )
        self._prepare()

    def _losses(self, outputs, yamnet, mn04, logits):
        import tensorflow as tf

        of_yamnet, of_mn04, scores = outputs
        first = feature_losses(of_yamnet, yamnet, *self.yamnet)
        second = feature_losses(of_mn04, mn04, *self.mn04)
        targets = tf.sigmoid(logits)
        scores = tf.clip_by_value(scores, 1e-6, 1 - 1e-6)
        found = tf.math.log(scores) - tf.math.log1p(-scores)  # [B, 527]
        entropy = tf.reduce_mean(
            tf.reduce_sum(tf.nn.sigmoid_cross_entropy_with_logits(labels=targets, logits=found), -1)
        )
        # Evidence of either: what is there, and what the student takes for it.
        weights = LEAST_WEIGHT + tf.sqrt(tf.maximum(targets, tf.stop_gradient(scores)))
        errors = tf.minimum(tf.square(found - logits), 25.0)
        log_odds = tf.reduce_sum(weights * errors) / tf.reduce_sum(weights)
        losses = (*first, *second, entropy, log_odds)
        weights_of_losses = (1.0, COSINE_WEIGHT, 1.0, COSINE_WEIGHT, SCORES_WEIGHT, LOGITS_WEIGHT)
        return losses, weights_of_losses

    def _units(self) -> dict[str, np.ndarray]:
        return {}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, required=True, help="of training")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--bfloat16", action="store_true", help="compute in bfloat16")
    parser.add_argument("--probe-every", type=float, default=10.0, metavar="MINUTES")
    options = parser.parse_args()
    use_threads(options.threads)
    if options.bfloat16:
        import keras

        keras.mixed_precision.set_global_policy("mixed_bfloat16")

    first = Seconds(options.seconds, ScoredStudent.ARRAYS).shards[0]
    train(ScoredStudent(units_of(first["yamnet"]), units_of(first["mn04"])), options)


if __name__ == "__main__":
    main()
