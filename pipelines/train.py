"""Train a localizer: a data set of video files in, a run with a model and its metrics out.

    python pipelines/train.py DATA RUN [--config pipelines/compact.yaml] [--set a.b=c ...]

This is what `avel train` does, without its options, to be read from top to bottom and changed.
"""

import argparse
import json
from pathlib import Path

from avel_tf.config import load_config
from avel_tf.datasets import load_dataset
from avel_tf.embeddings import load_extractor
from avel_tf.evaluation.fitting import fit_postprocessing
from avel_tf.evaluation.on_features import evaluate_features, predict_split
from avel_tf.features.extract import extract_features
from avel_tf.training.run import Run, probabilities_of
from avel_tf.training.train import train

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("data", type=Path)
parser.add_argument("run", type=Path)
parser.add_argument("--config", type=Path)
parser.add_argument("--set", action="append", default=[], dest="overrides", metavar="a.b=c")
options = parser.parse_args()
config = load_config(options.config, options.overrides)

# 1. Which videos, which events, which split.
dataset = load_dataset(options.data, config.dataset)

# 2. Every second of every video becomes a visual [Dv] and an audio [Da] vector, once.
extractor = load_extractor(config.embeddings)
features = extract_features(
    dataset, extractor, options.run / "features", data=config.data, media=config.media
)

# 3. The head is trained on windows of ten seconds, [B, T, Dv] and [B, T, Da] to [B, T, C+1]; the
#    epoch that is kept is the best on the validation split.
Run.begin(options.run, config_yaml=config.to_yaml(), labels=features.labels, recipe=features.recipe)
model = train(
    features, options.run, model_settings=config.model, training=config.training, on_epoch=print
)

# 4. What makes probabilities and events of its logits is fitted on the validation split, too.
postprocessing = fit_postprocessing(predict_split(probabilities_of(model), features, "validation"))
postprocessing.save(options.run)

# 5. The test split is looked at once, now.
predict = probabilities_of(model, postprocessing.temperature)
metrics = evaluate_features(predict, features, "test", postprocessing=postprocessing)
(options.run / "metrics.json").write_text(json.dumps(metrics, indent=2))
print(f"test segment accuracy: {metrics['segment_accuracy']:.3f}")
for name, values in metrics["baselines"].items():
    print(f"  {name}: {values['segment_accuracy']:.3f}")
