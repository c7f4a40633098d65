"""Train a localizer: a data set of video files in, a run with a model and its metrics out.

    python pipelines/train.py DATA RUN [--config pipelines/compact.yaml] [--set a.b=c ...]

These are the steps of `avel_tf.training.job.train`, to be read from top to bottom and changed.
"""

import argparse
from pathlib import Path

from avel_tf.config import load_config
from avel_tf.evaluation.summary import summary
from avel_tf.training.features import open_features
from avel_tf.training.fit import fit
from avel_tf.training.job import check_folder, fit_on_validation, predict_test, write_metrics
from avel_tf.training.run import Run

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("data", type=Path)
parser.add_argument("run", type=Path)
parser.add_argument("--config", type=Path)
parser.add_argument("--set", action="append", default=[], dest="overrides", metavar="a.b=c")
options = parser.parse_args()
config = load_config(options.config, options.overrides)
check_folder(options.run, config, resume=False)

# 1. Every second of every video becomes a visual [Dv] and an audio [Da] vector, once.
features = open_features(options.data, config, options.run / "features")

# 2. The localizer is trained on windows of ten segments, [B, T, Dv] and [B, T, Da] to [B, T, C+1].
#    The epoch that is best on the validation split is kept; the last one if there is none.
Run.begin(options.run, config_yaml=config.to_yaml(), labels=features.labels, recipe=features.recipe)
model = fit(
    features, options.run, model_settings=config.model, training=config.training, on_epoch=print
)

# 3. Temperature, thresholds and the rules for events are fitted on the validation split.
postprocessing = fit_on_validation(model, features, config)
postprocessing.save(options.run)

# 4. The test split is evaluated once, now.
predictions = predict_test(model, features, config, postprocessing)
metrics = predictions.metrics(postprocessing, seed=config.training.seed)
write_metrics(options.run, metrics)
print(summary(metrics))
