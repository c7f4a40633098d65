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

from avel_tf.media import SAMPLE_RATE, decode_clip
from pipelines.distill import corpus, sounds
from pipelines.distill.audio_corpus import Teacher

FOLDS = 5
# Weight of the regression's data term on standardised vectors; the best for each embedding is
# chosen within the training folds, so that no width is favoured.
STRENGTHS = (0.0003, 0.001, 0.003, 0.01, 0.03, 0.1)
CURVE_STRENGTH = 0.003
BATCH = 256
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


def probe_clips(vectors: np.ndarray, labels: np.ndarray, strengths=STRENGTHS) -> float:
    """Accuracy of a linear probe on clips, over all folds."""
    right = 0
    for train, test in probe_folds(labels):
        strength = best_strength(vectors[train], labels[train], strengths)
        model = regression(strength).fit(vectors[train], labels[train])
        right += int((model.predict(vectors[test]) == labels[test]).sum())
    return right / len(labels)


def probe_seconds(
    vectors: np.ndarray, clip_of: np.ndarray, labels: np.ndarray, strengths=STRENGTHS
) -> float:
    """Accuracy of a linear probe on seconds whose clips it has not seen."""
    right = 0
    means = clip_means(vectors, clip_of)
    for train, test in probe_folds(labels):
        strength = best_strength(means[train], labels[train], strengths)
        learned, asked = np.isin(clip_of, train), np.isin(clip_of, test)
        model = regression(strength).fit(vectors[learned], labels[clip_of[learned]])
        right += int((model.predict(vectors[asked]) == labels[clip_of[asked]]).sum())
    return right / len(clip_of)


def best_strength(vectors: np.ndarray, labels: np.ndarray, strengths) -> float:
    """The strength that is best within these clips."""
    if len(strengths) == 1:
        return strengths[0]
    right = dict.fromkeys(strengths, 0)
    for train, test in StratifiedKFold(3).split(vectors, labels):
        for strength in strengths:
            model = regression(strength).fit(vectors[train], labels[train])
            right[strength] += int((model.predict(vectors[test]) == labels[test]).sum())
    return max(strengths, key=right.__getitem__)


def nearest(vectors: np.ndarray, labels: np.ndarray) -> float:
    """How often the nearest clip outside a clip's own fold has its label."""
    standard = StandardScaler().fit_transform(vectors)
    standard /= np.linalg.norm(standard, axis=1, keepdims=True) + 1e-9
    right = 0
    for train, test in probe_folds(labels):
        closest = train[np.argmax(standard[test] @ standard[train].T, axis=1)]
        right += int((labels[closest] == labels[test]).sum())
    return right / len(labels)


def in_batches(embed: Embed, seconds: np.ndarray) -> np.ndarray:
    return np.concatenate(
        [
            np.asarray(embed(seconds[first : first + BATCH]))
            for first in range(0, len(seconds), BATCH)
        ]
    )


class CurveProbe:
    """A quick probe for the learning curve, with one strength for all.

    Args:
        corpora: Folder of `audio.zip`.
        teacher: Kept for a caller's symmetry with `main`; its own probe is the curve's ceiling.
    """

    def __init__(self, corpora: Path, teacher: Path) -> None:
        import keras

        from avel_tf.embeddings.compact_audio import audio_network
        from avel_tf.embeddings.log_mel_layer import LogMel

        recordings = [r for r in sounds.read_corpus(corpora) if r.split != "train"]
        self.parts = {part: HeldOut.of(recordings, part) for part in ("source", "class")}
        self.log_mels = {
            part: in_batches(LogMel(), held.seconds) for part, held in self.parts.items()
        }
        self.network = audio_network()
        self.after_log_mel = keras.Model(
            self.network.get_layer("log_mel").output, self.network.output
        )
        ask = Teacher(teacher)
        self.ceiling = {
            part: self._probe(held, in_batches(lambda seconds: ask(seconds)[0], held.seconds))
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
        return probe_clips(means, held.labels, (CURVE_STRENGTH,))


def embeddings_to_compare(export: Path, teacher: Teacher) -> dict[str, Embed]:
    """The embeddings of the table, by name: float32 `[N, 16000]` -> `[N, D]`."""
    import keras

    from avel_tf.embeddings.compact_audio import audio_network
    from avel_tf.embeddings.log_mel_layer import LogMel

    log_mel = LogMel()

    def handcrafted(seconds: np.ndarray) -> np.ndarray:
        spectrogram = log_mel(seconds).numpy()[..., 0]  # [N, 100, 64]
        return np.concatenate([spectrogram.mean(axis=1), spectrogram.std(axis=1)], axis=1)

    keras.utils.set_random_seed(0)
    untrained, student = audio_network(), audio_network()
    with np.load(export / "weights.npz") as weights:
        student.set_weights([weights[name] for name in sorted(weights.files)])
    return {
        "teacher (YAMNet)": lambda seconds: teacher(seconds)[0],
        "student": lambda seconds: student(seconds, training=False),
        "untrained, same network": lambda seconds: untrained(seconds, training=False),
        "one random convolution": random_convolution(),
        "log-mel, mean and deviation": handcrafted,
    }


def random_convolution() -> Embed:
    """One layer of 64 random templates over the log-mel, its maximum and mean over time `[N, 512]`.

    What the project offered before it had a trained backbone, and the best untrained one it found.
    """
    import keras

    from avel_tf.embeddings.log_mel_layer import LogMel

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


def agreement(student: np.ndarray, heads: Path, teacher: tuple[np.ndarray, np.ndarray]) -> dict:
    """How far the student's heads give the teacher's answers on the same seconds.

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
    recordings = [r for r in sounds.read_corpus(options.corpora) if r.split != "train"]
    compared = embeddings_to_compare(options.export, teacher)
    results: dict[str, dict] = {}
    for part in ("source", "class"):
        held = HeldOut.of(recordings, part)
        found = results[part] = {
            "clips": len(held.labels),
            "seconds": len(held.seconds),
            "classes": sorted(set(held.labels.tolist())),
        }
        for name, embed in compared.items():
            vectors = in_batches(embed, held.seconds)
            means = clip_means(vectors, held.clip_of)
            found[name] = {
                "width": vectors.shape[1],
                "probe_clip": probe_clips(means, held.labels),
                "probe_second": probe_seconds(vectors, held.clip_of, held.labels),
                "nearest": nearest(means, held.labels),
            }
            print(part, name, found[name], flush=True)
        low, high = found["untrained, same network"], found["teacher (YAMNet)"]
        found["way"] = {
            figure: (found["student"][figure] - low[figure]) / (high[figure] - low[figure])
            for figure in ("probe_clip", "probe_second", "nearest")
        }
        print(part, "way", found["way"], flush=True)

    heard = {part: HeldOut.of(recordings, part).seconds for part in ("source", "class")}
    if options.clips:
        heard["clips"] = np.concatenate(
            [
                decode_clip(options.clips / name, size=(16, 16)).waveform.reshape(-1, SAMPLE_RATE)
                for name in corpus.HELD_OUT_CLIPS
            ]
        )
    for part, seconds in heard.items():
        answers = tuple(in_batches(lambda x, i=i: teacher(x)[i], seconds) for i in (0, 1))
        vectors = in_batches(compared["student"], seconds)
        found = agreement(vectors, options.export / "heads.npz", answers)
        results.setdefault(part, {"seconds": len(seconds)})["agreement"] = found
        print(part, "agreement", found, flush=True)
    options.out.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
