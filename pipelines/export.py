"""Export a trained run: one SavedModel that plain TensorFlow loads.

    python pipelines/export.py RUN saved_models/NAME

These are the steps of `avel export`, to be read from top to bottom and changed.
"""

import argparse
from pathlib import Path

from avel_tf.embeddings import load_extractor
from avel_tf.export.saved_model import export_saved_model
from avel_tf.training.run import Run

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("run", type=Path)
parser.add_argument("out", type=Path)
options = parser.parse_args()

# 1. The head, and the backbones that made the features which it was trained on.
run = Run(options.run)
extractor = load_extractor(run.config.embeddings)
run.recipe.require_same(extractor.recipe, ours="the run", theirs="the backbones that load now")

# 2. Both in one graph with the signatures serving_default, embed and from_features, and a variant
#    of each that takes `valid`.
folder = export_saved_model(
    run.model(),
    extractor,
    options.out,
    labels=run.labels,
    config_yaml=run.config_yaml,
    metrics=run.metrics,
    postprocessing=run.postprocessing,
)
print(f"SavedModel: {folder}")
