"""Measure visual backbones as embeddings, on pictures that no student saw.

    python -m pipelines.distill.visual_measure CORPORA TEACHER OUT --weights RUN/weights.npz
    python -m pipelines.distill.visual_measure CORPORA TEACHER OUT --curve RUN

Linear probe (logistic regression on standardised features, each half of the pictures named by what
the other half taught) and nearest neighbour by cosine: on held-out classes and on a held-out source
(`corpus.py` lists both). Agreement with the teacher: a ridge regression, fitted on pictures of the
corpus, from a network's vectors to the teacher's, measured by its cosine on the `eval` pictures;
and one to its log scores, measured by how often the first class is the same.

OUT gets `measures.csv`, or `curve.csv` with --curve, and keeps what was computed once.
"""

from __future__ import annotations

import argparse
import csv
import logging
import warnings
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from avel_tf.utils.durable_files import atomic_text
from pipelines.distill.corpus import HELD_OUT_SOURCES, Member, read_bytes, read_manifest
from pipelines.distill.visual_corpus import Teacher

Embed = Callable[[np.ndarray], np.ndarray]  # uint8 [N, H, W, 3] to float32 [N, D]

SEED = 5
TEACHER_SIZE = 224
BATCH = 64
# Inverse strengths of the probe's regularisation; the best on a fifth of its pictures is taken.
STRENGTHS = (0.001, 0.003, 0.01, 0.03)
FITTED_ON = 3000  # pictures of the corpus that the maps to the teacher are fitted on
RIDGE = (30.0, 300.0, 3000.0, 30000.0)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in ("corpora", "teacher", "out"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--weights", type=Path, help="what visual.py wrote")
    parser.add_argument("--curve", type=Path, help="a run of visual.py: all weights it kept")
    parser.add_argument("--module", action="append", default=[], help="a module for avel, as well")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    pictures = Pictures(options.corpora, options.out)
    # The teacher is computed first: the maps to it need it.
    teacher_vectors, teacher_scores = pictures.through_teacher(options.teacher)
    if options.curve:
        rows = []
        for step, path in curve_of(options.curve):
            found = measure(pictures, pictures.embedded(student(path), 160), teacher_vectors,
                            teacher_scores)  # fmt: skip
            rows.append({"step": step, "minutes": minutes_at(options.curve, step), **found})
            write(options.out / "curve.csv", rows)
        return
    from avel_tf.embeddings.compact import VISUAL_SIZE

    networks: dict[str, Callable[[], np.ndarray]] = {
        "teacher": lambda: teacher_vectors,
        "handcrafted": lambda: pictures.embedded(handcrafted, 64),
        "untrained": lambda: pictures.embedded(student(None), VISUAL_SIZE),
    }
    for name in options.module:
        networks[name] = lambda name=name: through_module(pictures, name)
    if options.weights:
        networks["student"] = lambda: pictures.embedded(student(options.weights), VISUAL_SIZE)
    rows = []
    for name, vectors in networks.items():
        found = measure(pictures, vectors(), teacher_vectors, teacher_scores)
        rows.append({"network": name, **found})
        write(options.out / "measures.csv", rows)


class Pictures:
    """The held-out pictures, the `eval` ones, and some that were trained on.

    Args:
        corpora: folder of `images.zip` and `manifest.tsv`.
        cache: folder that keeps the teacher's outputs.
    """

    def __init__(self, corpora: Path, cache: Path) -> None:
        self._cache = cache
        members = read_manifest(corpora, "images")
        rng = np.random.default_rng(SEED)
        seen = [each for each in members if not each.held_out]
        chosen = sorted(rng.permutation(len(seen))[:FITTED_ON])
        self.members = [each for each in members if each.held_out]
        self.members += [seen[place] for place in chosen]
        content = read_bytes(corpora / "images.zip", self.members)
        self._pictures = [
            cv2.imdecode(np.frombuffer(each, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
            for each in content
        ]

    def where(self, wanted: Callable[[Member], bool]) -> np.ndarray:
        """Places of the wanted members."""
        return np.flatnonzero([wanted(each) for each in self.members])

    def labels(self, places: np.ndarray) -> np.ndarray:
        return np.array([self.members[place].label for place in places])

    def embedded(self, embed: Embed, size: int) -> np.ndarray:
        """Vectors of all pictures, float32 [N, D]; each resized whole, as the recipe does."""
        vectors = []
        for start in range(0, len(self._pictures), BATCH):
            batch = [_resized(each, size) for each in self._pictures[start : start + BATCH]]
            vectors.append(embed(np.stack(batch)))
        return np.concatenate(vectors)

    def through_teacher(self, folder: Path) -> tuple[np.ndarray, np.ndarray]:
        """The teacher's vectors and probabilities, float32 [N, D] and [N, 1001]."""
        path = self._cache / "teacher.npz"
        if not path.is_file():
            model = teacher_network(folder)
            said = self.embedded(model, TEACHER_SIZE)
            np.savez(path, said=said.astype(np.float16))
        with np.load(path) as found:
            said = found["said"].astype(np.float32)
        return said[:, :-1001], said[:, -1001:]


def measure(
    pictures: Pictures, vectors: np.ndarray, teacher: np.ndarray, scores: np.ndarray
) -> dict[str, float]:
    """All figures of one network."""
    found: dict[str, float] = {"width": vectors.shape[1]}
    questions: dict[str, Callable[[Member], bool]] = {
        "tiny": lambda each: each.held_out and each.source == "tiny_imagenet",
        "caltech": lambda each: each.held_out and each.source == "caltech101",
        "source": lambda each: each.source in HELD_OUT_SOURCES,
    }
    for name, wanted in questions.items():
        places = pictures.where(wanted)
        probe, nearest = accuracies(vectors[places], pictures.labels(places))
        found |= {f"{name}_n": len(places), f"{name}_probe": probe, f"{name}_nearest": nearest}
    fit = pictures.where(lambda each: not each.held_out)
    test = pictures.where(lambda each: each.split == "eval")
    said = ridge(vectors, teacher, fit, test)
    found["cosine"] = float(np.mean(_cosine(said, teacher[test])))
    centre = teacher[fit].mean(0)
    found["centred_cosine"] = float(np.mean(_cosine(said - centre, teacher[test] - centre)))
    named = ridge(vectors, np.log(np.maximum(scores, 1e-6)), fit, test)
    truth = scores[test].argmax(1)
    found["top1"] = float(np.mean(named.argmax(1) == truth))
    found["top5"] = float(np.mean((np.argsort(named, axis=1)[:, -5:] == truth[:, None]).any(1)))
    logging.info("%s", found)
    return {key: round(value, 4) for key, value in found.items()}


def accuracies(vectors: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Linear probe and nearest neighbour, each half of the pictures told by the other."""
    from sklearn.model_selection import StratifiedKFold
    from sklearn.neighbors import KNeighborsClassifier

    probe, nearest = [], []
    halves = StratifiedKFold(2, shuffle=True, random_state=SEED).split(vectors, labels)
    for train, test in halves:
        model = linear_probe(vectors[train], labels[train])
        probe.append(model.predict(vectors[test]) == labels[test])
        neighbour = KNeighborsClassifier(1, metric="cosine").fit(vectors[train], labels[train])
        nearest.append(neighbour.predict(vectors[test]) == labels[test])
    return float(np.concatenate(probe).mean()), float(np.concatenate(nearest).mean())


def linear_probe(vectors: np.ndarray, labels: np.ndarray):
    """Logistic regression on standardised features, its strength chosen on a fifth of them."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import train_test_split
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    def fitted(strength: float, vectors: np.ndarray, labels: np.ndarray):
        logistic = LogisticRegression(C=strength, max_iter=60, tol=1e-3)
        with warnings.catch_warnings():  # sixty steps are as good as all, and are said in the docs
            warnings.simplefilter("ignore")
            return make_pipeline(StandardScaler(), logistic).fit(vectors, labels)

    x, x_test, y, y_test = train_test_split(
        vectors, labels, test_size=0.2, stratify=labels, random_state=SEED
    )
    best = max(STRENGTHS, key=lambda strength: fitted(strength, x, y).score(x_test, y_test))
    return fitted(best, vectors, labels)


def ridge(vectors: np.ndarray, target: np.ndarray, fit: np.ndarray, test: np.ndarray) -> np.ndarray:
    """`target` as told from `vectors`, for the places `test`; the strength by leave-one-out."""
    from sklearn.linear_model import RidgeCV
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(vectors[fit])
    model = RidgeCV(RIDGE).fit(scaler.transform(vectors[fit]), target[fit])
    return model.predict(scaler.transform(vectors[test]))


def teacher_network(folder: Path) -> Embed:
    """Vectors and probabilities side by side [N, D + 1001], in float32: no weakened rival."""
    teacher = Teacher(folder, precision="f32")
    return lambda pictures: np.concatenate(teacher(pictures), axis=1)


def student(weights: Path | None) -> Embed:
    """The project's network, with weights of a training or as it begins."""
    import keras

    from avel_tf.embeddings.compact import visual_network

    keras.utils.set_random_seed(SEED)
    network = visual_network()
    if weights:
        with np.load(weights) as found:
            network.set_weights([found[name] for name in sorted(found.files)])
    return lambda pictures: np.asarray(
        network.predict_on_batch(pictures.astype(np.float32) / 255.0)
    )


def through_module(pictures: Pictures, name: str) -> np.ndarray:
    """Vectors of a module that avel knows: a handle, a path or "compact"."""
    from avel_tf.embeddings import load_visual

    return pictures.embedded(load_visual(name), TEACHER_SIZE)


def handcrafted(pictures: np.ndarray) -> np.ndarray:
    """Histograms of colours in four quarters, and of gradients' directions in 8 x 8 cells.

    Reference: Dalal and Triggs 2005, Histograms of Oriented Gradients for Human Detection, here
    without overlapping blocks.
    """
    return np.stack([np.concatenate([_colours(each), _gradients(each)]) for each in pictures])


def _colours(picture: np.ndarray) -> np.ndarray:
    bins = (picture // 64).astype(int)
    codes = bins[..., 0] * 16 + bins[..., 1] * 4 + bins[..., 2]  # [64, 64]
    quarters = codes.reshape(2, 32, 2, 32).swapaxes(1, 2).reshape(4, -1)
    counts = np.stack([np.bincount(each, minlength=64) for each in quarters])
    return np.sqrt(counts / quarters.shape[1]).ravel().astype(np.float32)


def _gradients(picture: np.ndarray) -> np.ndarray:
    down, right = np.gradient(picture.mean(-1) / 255.0)
    strength = np.hypot(down, right)
    direction = (np.arctan2(down, right) % np.pi / np.pi * 9).astype(int) % 9
    cells = np.zeros((8, 8, 9))
    place = np.arange(64) // 8
    np.add.at(cells, (place[:, None], place[None, :], direction), strength)
    cells /= np.linalg.norm(cells, axis=-1, keepdims=True) + 0.1
    return cells.ravel().astype(np.float32)


def curve_of(run: Path) -> list[tuple[int, Path]]:
    """Steps and weights that a run kept, in order."""
    return [(int(path.stem.split("-")[1]), path) for path in sorted(run.glob("weights-*.npz"))
            if path.stem.split("-")[1].isdigit()]  # fmt: skip


def minutes_at(run: Path, step: int) -> float:
    with open(run / "log.csv", newline="") as file:
        return next(float(row["minutes"]) for row in csv.DictReader(file)
                    if int(row["step"]) == step)  # fmt: skip


def write(path: Path, rows: list[dict]) -> None:
    with atomic_text(path) as file:
        table = csv.DictWriter(file, rows[0], lineterminator="\n")
        table.writeheader()
        table.writerows(rows)


def _cosine(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    return np.sum(one * other, axis=1) / np.maximum(lengths, 1e-9)


def _resized(picture: np.ndarray, size: int) -> np.ndarray:
    how = cv2.INTER_AREA if min(picture.shape[:2]) > size else cv2.INTER_CUBIC
    return cv2.resize(np.ascontiguousarray(picture), (size, size), interpolation=how)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    main()
