"""A trained head against the zero-shot rule, per class, on real clips.

    avel extract CLIPS --out real-features --config pipelines/offline.yaml
    python benchmarks/accuracy/few_features.py ../shared --ave --train 12 --test 0 --out pairs.npz
    python benchmarks/accuracy/trained_head.py pairs.npz real-features

The head is the default network, trained on composed clips of labelled images and sounds; the rule
is that of the pretrained localizer, with the same classes selected and the others of the table
competing. Both read the same features. Clips of other labels count for false alarms alone.
"""

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
from clips import Clips, split_of, trained_probabilities, write_store

from avel_tf.embeddings.class_columns import ClassColumns
from avel_tf.embeddings.recipe import Recipe
from avel_tf.features.feature_store import FeatureStore
from avel_tf.models.zero_shot import build_zero_shot
from avel_tf.training.run import probabilities_of
from avel_tf.vocabulary.class_table import ClassTable

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("pairs", type=Path, help="what few_features.py --ave wrote")
parser.add_argument("features", type=Path, help="what avel extract wrote, with class scores")
parser.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE")
options = parser.parse_args()

table = ClassTable.load()
data = np.load(options.pairs)
names = [str(name) for name in data["names"]]
recipe = Recipe.from_dict(json.loads(str(data["recipe"])))
training = Clips(*(data[key] for key in ("visual", "audio", "targets"))).pick(
    data["split"] == "train"
)

store = FeatureStore(options.features)
parts = [split_of(store, split) for split in ("train", "validation", "test") if store.count(split)]
real = Clips(
    *(
        np.concatenate([getattr(part, key) for part in parts])
        for key in ("visual", "audio", "targets")
    )
)
# Classes that each label names; the first of them that was trained is the truth.
numbers = []
for label in store.labels.names:
    known = [names.index(each.name) for each in table.named_in(label) if each.name in names]
    numbers.append(known[0] if known else len(names))
truth = np.array([*numbers, len(names), -1])[real.targets]  # [N, T]
there = truth >= 0

with tempfile.TemporaryDirectory() as folder:
    learned = write_store(Path(folder) / "features", names, {"train": training}, recipe)
    probabilities, _ = trained_probabilities(
        learned, real, Path(folder) / "run", seed=0, overrides=options.set
    )
head = probabilities.argmax(axis=-1)  # [N, T]

selected = [table.names.index(name) for name in names]
indices = [
    [table.indices(each, part.vocabulary) for each in table]
    for part in (store.recipe.visual, store.recipe.audio)
]
columns = ClassColumns.of(store.recipe, *indices)
rule = build_zero_shot(store.recipe, columns)
scores = probabilities_of(rule)(real.visual, real.audio, there)  # [N, T, table + 1]
related = columns.related(selected)
related[selected] = False
scores[..., :-1][..., related] = 0.0  # other names of a selected class do not compete
place = np.full(len(table) + 1, len(names))
place[selected] = np.arange(len(names))
zero_shot = place[scores.argmax(axis=-1)]  # [N, T]

print("| class | clips | seconds | head: hits, wrong | rule: hits, wrong |\n|---|---|---|---|---|")
for number, name in enumerate(names):
    held = truth == number
    cells = [held.any(axis=1).sum(), held.sum()]
    for labels in (head, zero_shot):
        cells += [(labels == number)[held].sum(), ((labels == number) & there & ~held).sum()]
    row = np.array(cells)
    print(f"| {name} | {row[0]} | {row[1]} | {row[2]}, {row[3]} | {row[4]}, {row[5]} |")
others = there & (truth == len(names))
print(f"{others.sum()} other seconds; {len(training)} training clips")
for title, labels in (("head", head), ("rule", zero_shot)):
    events = there & ~others
    hits = ((labels == truth) & events).sum()
    said = ((labels < len(names)) & there).sum()
    print(
        f"{title}: recall {hits / events.sum():.2f}, precision {hits / max(said, 1):.2f}, "
        f"false alarms {((labels < len(names)) & others).sum()} of {others.sum()}"
    )
