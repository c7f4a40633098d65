"""Measure audio embeddings on sounds that no student has heard: step 3 of the audio backbone.

    python -m pipelines.distill.audio_measure --corpora DIR --teacher DIR --export RUN/export
        --out RESULTS.json [--clips DIR]

Two held-out parts, as `sounds.held_out` defines them: ESC-10 whole ("by source"), and eight
classes of the other sources ("by class"). On each, five folds of whole clips in the order of
their names, so that pieces of one recording, which are neighbours, mostly stay together:

- `probe_clip`: logistic regression on the mean vector of a clip; `probe_second`: on single seconds.
- `nearest`: the label of the clip whose standardised mean vector is nearest by cosine.

For the teacher, the student, the student's untrained network, the first compact backbone (one
random convolution), and the mean and deviation of each log-mel band. `way` is how much of the way
from the untrained network to the teacher the student has gone; `agreement` how well its heads give
the teacher's answers on the same seconds. Deterministic.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from avel_tf.video import SAMPLE_RATE, decode_clip
from pipelines.distill import corpus, sounds
from pipelines.distill.audio_corpus import Teacher

PARTS = ("source", "class")
FOLDS = 5
# Weight of the regression's data term on standardised vectors; the best for each embedding is
# chosen within the training folds, so that no width is favoured.
STRENGTHS = (0.001, 0.01, 0.1)
CURVE_STRENGTH = 0.003
BATCH = 256
TEACHER, STUDENT, UNTRAINED = "teacher", "student", "untrained network"
Embed = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class HeldOut:
    """Sounds of one held-out part.

    Args:
        seconds: float32 `[N, 16000]`, of all clips one after the other.
        clip_of: int `[N]`, which clip each second belongs to.
        labels: str `[clips]`.
    """

    seconds: np.ndarray
    clip_of: np.ndarray
    labels: np.ndarray

    @classmethod
    def of(cls, recordings: list[sounds.Recording], split: str) -> HeldOut:
        """The recordings of a split, `source` or `class`, by label and then by name."""
        chosen = sorted(
            (r for r in recordings if r.split == split), key=lambda r: (r.label, r.name)
        )
        cut = [sounds.whole_seconds(r.waveform) for r in chosen]
        clip_of = np.repeat(np.arange(len(cut)), [len(each) for each in cut])
        return cls(np.concatenate(cut), clip_of, np.array([r.label for r in chosen]))


def clip_means(vectors: np.ndarray, clip_of: np.ndarray) -> np.ndarray:
    """Vectors of seconds `[N, D]` to mean vectors of clips `[clips, D]`."""
    sums = np.zeros((clip_of[-1] + 1, vectors.shape[1]))
    np.add.at(sums, clip_of, vectors)
    return sums / np.bincount(clip_of)[:, None]


def regression(strength: float):
    return make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=2000))


def probe_folds(labels: np.ndarray):
    """Train and test clips of each fold; not shuffled: see the module's text."""
    return StratifiedKFold(FOLDS).split(labels[:, None], labels)


def strengths_of_folds(means: np.ndarray, labels: np.ndarray) -> list[float]:
    """For each fold the strength that is best within its training clips."""
    chosen = []
    for train, _ in probe_folds(labels):
        right = dict.fromkeys(STRENGTHS, 0)
        for fitted, asked in StratifiedKFold(3).split(means[train], labels[train]):
            fitted, asked = train[fitted], train[asked]
            for strength in STRENGTHS:
                model = regression(strength).fit(means[fitted], labels[fitted])
                right[strength] += int((model.predict(means[asked]) == labels[asked]).sum())
        chosen.append(max(STRENGTHS, key=right.__getitem__))
    return chosen


def probe_clips(means: np.ndarray, labels: np.ndarray, strengths: list[float]) -> float:
    """Accuracy of a linear probe on clips `[clips, D]`, over all folds."""
    right = 0
    for (train, test), strength in zip(probe_folds(labels), strengths, strict=True):
        model = regression(strength).fit(means[train], labels[train])
        right += int((model.predict(means[test]) == labels[test]).sum())
    return right / len(labels)


def probe_seconds(
    vectors: np.ndarray, clip_of: np.ndarray, labels: np.ndarray, strengths: list[float]
) -> float:
    """Accuracy of a linear probe on seconds `[N, D]` of clips that it has not seen."""
    right = 0
    for (train, test), strength in zip(probe_folds(labels), strengths, strict=True):
        learned, asked = np.isin(clip_of, train), np.isin(clip_of, test)
        model = regression(strength).fit(vectors[learned], labels[clip_of[learned]])
        right += int((model.predict(vectors[asked]) == labels[clip_of[asked]]).sum())
    return right / len(clip_of)


def nearest(vectors: np.ndarray, labels: np.ndarray) -> float:
    """Nearest-neighbour accuracy between folds."""
    standard = StandardScaler().fit_transform(vectors)
    standard /= np.linalg.norm(standard, axis=1, keepdims=True) + 1e-9
    right = 0
    for train, test in probe_folds(labels):
        closest = train[np.argmax(standard[test] @ standard[train].T, axis=1)]
        right += int((labels[closest] == labels[test]).sum())
    return right / len(labels)


def in_batches(embed: Callable, seconds: np.ndarray):
    """Outputs of `embed` for `[N, ...]`, computed in batches: an array or a list."""
    answers = [embed(seconds[first : first + BATCH]) for first in range(0, len(seconds), BATCH)]
    if isinstance(answers[0], tuple):
        return [np.concatenate(each) for each in zip(*answers, strict=True)]
    return np.concatenate([np.asarray(each) for each in answers])


class CurveProbe:
    """A quick probe for the learning curve, with one strength for all.

    Args:
        corpora: Folder of `audio.zip`.
        teacher: Kept for a caller's symmetry with `main`; its own probe is the curve's ceiling.
    """

    def __init__(self, corpora: Path, teacher: Path) -> None:
        import keras

        from avel_tf.embeddings.compact import audio_network
        from avel_tf.embeddings.log_mel import LogMel

        recordings = sounds.read_corpus(corpora, PARTS)
        self.parts = {part: HeldOut.of(recordings, part) for part in PARTS}
        self.log_mels = {
            part: in_batches(LogMel(), held.seconds) for part, held in self.parts.items()
        }
        self.network = audio_network()
        self.after_log_mel = keras.Model(
            self.network.get_layer("log_mel").output, self.network.output
        )
        ask = Teacher(teacher)
        self.ceiling = {
            part: self._probe(held, in_batches(ask, held.seconds)[0])
            for part, held in self.parts.items()
        }

    def __call__(self, weights: list[np.ndarray]) -> dict[str, float]:
        """Clip probe of each part with these weights, as float16 keeps them, and the teacher's."""
        self.network.set_weights([each.astype(np.float16) for each in weights])
        found = {}
        for part, held in self.parts.items():
            vectors = in_batches(
                lambda log_mel: self.after_log_mel(log_mel, training=False), self.log_mels[part]
            )
            found[f"probe_{part}"] = self._probe(held, vectors)
            found[f"teacher_{part}"] = self.ceiling[part]
        return found

    @staticmethod
    def _probe(held: HeldOut, vectors: np.ndarray) -> float:
        means = clip_means(vectors, held.clip_of)
        return probe_clips(means, held.labels, [CURVE_STRENGTH] * FOLDS)


def embeddings_to_compare(export: Path) -> dict[str, Embed]:
    """The embeddings of the table beside the teacher: float32 `[N, 16000]` -> `[N, D]`."""
    import keras

    from avel_tf.embeddings.compact import audio_network
    from avel_tf.embeddings.log_mel import LogMel

    log_mel = LogMel()

    def handcrafted(seconds: np.ndarray) -> np.ndarray:
        spectrogram = log_mel(seconds).numpy()[..., 0]  # [N, 100, 64]
        return np.concatenate([spectrogram.mean(axis=1), spectrogram.std(axis=1)], axis=1)

    keras.utils.set_random_seed(0)
    untrained, student = audio_network(), audio_network()
    with np.load(export / "weights.npz") as weights:
        student.set_weights([weights[name] for name in sorted(weights.files)])
    return {
        STUDENT: lambda seconds: student(seconds, training=False),
        UNTRAINED: lambda seconds: untrained(seconds, training=False),
        "one random convolution": random_convolution(),
        "log-mel, mean and deviation": handcrafted,
    }


def random_convolution() -> Embed:
    """One layer of 64 random templates over the log-mel, its maximum and mean over time `[N, 512]`.

    What the project offered before it had a trained backbone, and the best untrained one it found.
    """
    import keras

    from avel_tf.embeddings.log_mel import LogMel

    layer = keras.layers.Conv2D(64, 9, strides=(4, 16), padding="same", activation="relu")
    layer.build([None, 100, 64, 1])
    kernel = np.random.default_rng(0).random(layer.kernel.shape, dtype=np.float32) * 2 - 1
    bound = np.float32(np.sqrt(6.0 / np.prod(layer.kernel.shape[:-1])))  # He et al. 2015
    layer.set_weights([kernel * bound, np.zeros(layer.bias.shape, np.float32)])
    log_mel = LogMel()

    def embed(seconds: np.ndarray) -> np.ndarray:
        x = layer(log_mel(seconds)).numpy()  # [N, 25, 4, 64]
        pooled = np.concatenate([x.max(axis=1), x.mean(axis=1)], axis=2)  # [N, 4, 128]
        return pooled.reshape(len(x), -1)  # [N, 512]

    return embed


def agreement(student: np.ndarray, heads: Path, teacher: list[np.ndarray]) -> dict:
    """Agreement of the student's heads with the teacher on the same segments.

    Args:
        student: vectors `[N, D]`.
        heads: `heads.npz` of the export.
        teacher: its embeddings `[N, 1024]` and scores `[N, 521]`.

    Returns:
        `cosine` of the embeddings and of their difference from the teacher's mean, and `top1`, how
        often the class scored highest is the same.
    """
    embedding, scores = teacher
    with np.load(heads) as arrays:
        deviation, mean = arrays["deviation"], arrays["mean"]
        found = student @ arrays["embedding.kernel"] + arrays["embedding.bias"]  # [N, 1024]
        logits = student @ arrays["scores.kernel"] + arrays["scores.bias"]  # [N, 521]
    found = found * deviation + mean

    def cosine(a: np.ndarray, b: np.ndarray) -> float:
        norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
        return float(np.mean(np.sum(a * b, axis=1) / (norms + 1e-9)))

    return {
        "cosine": cosine(found, embedding),
        "cosine_centred": cosine(found - mean, embedding - mean),
        "top1": float(np.mean(logits.argmax(axis=1) == scores.argmax(axis=1))),
    }


def measure(vectors: np.ndarray, held: HeldOut) -> dict[str, float]:
    """A row of the table: width, both probes, nearest neighbour."""
    means = clip_means(vectors, held.clip_of)
    strengths = strengths_of_folds(means, held.labels)
    return {
        "width": vectors.shape[1],
        "probe_clip": probe_clips(means, held.labels, strengths),
        "probe_second": probe_seconds(vectors, held.clip_of, held.labels, strengths),
        "nearest": nearest(means, held.labels),
    }


def way(rows: dict[str, dict]) -> dict[str, float]:
    """Fraction of the gap between untrained network and teacher that is closed."""
    low, student, high = (rows[name] for name in (UNTRAINED, STUDENT, TEACHER))
    return {
        figure: (student[figure] - low[figure]) / (high[figure] - low[figure])
        for figure in ("probe_clip", "probe_second", "nearest")
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--corpora", type=Path, required=True)
    parser.add_argument("--teacher", type=Path, required=True)
    parser.add_argument("--clips", type=Path, help="agreement on the held-out clips, too")
    parser.add_argument("--export", type=Path, required=True, help="weights.npz and heads.npz")
    parser.add_argument("--out", type=Path, required=True, help="the figures, as JSON")
    options = parser.parse_args()

    teacher = Teacher(options.teacher)
    recordings = sounds.read_corpus(options.corpora, PARTS)
    compared = embeddings_to_compare(options.export)
    # The rows of what does not change with the student are kept from an earlier measurement.
    results = json.loads(options.out.read_text()) if options.out.exists() else {}

    def write(part: str, name: str, found: dict) -> None:
        results.setdefault(part, {})[name] = found
        options.out.write_text(json.dumps(results, indent=1))
        print(part, name, found, flush=True)

    def agree(part: str, seconds: np.ndarray, answers: list[np.ndarray]) -> None:
        vectors = in_batches(compared[STUDENT], seconds)
        write(part, "agreement", agreement(vectors, options.export / "heads.npz", answers))

    for part in PARTS:
        held = HeldOut.of(recordings, part)
        write(part, "held out", {"clips": len(held.labels), "seconds": len(held.seconds)})
        answers = in_batches(teacher, held.seconds)
        agree(part, held.seconds, answers)
        write(part, STUDENT, measure(in_batches(compared[STUDENT], held.seconds), held))
        if TEACHER not in results[part]:
            write(part, TEACHER, measure(answers[0], held))
        for name, embed in compared.items():
            if name not in results[part]:
                write(part, name, measure(in_batches(embed, held.seconds), held))
        write(part, "way", way(results[part]))
    if options.clips:
        heard = [
            decode_clip(options.clips / name, size=(16, 16)).waveform.reshape(-1, SAMPLE_RATE)
            for name in corpus.HELD_OUT_CLIPS
        ]
        seconds = np.concatenate(heard)
        write("clips", "held out", {"clips": len(heard), "seconds": len(seconds)})
        agree("clips", seconds, in_batches(teacher, seconds))


if __name__ == "__main__":
    main()
