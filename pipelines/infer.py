"""Label every second of video files and folders with an exported model.

    python pipelines/infer.py saved_models/NAME RESULTS PATH [PATH ...]

These are the steps of `avel infer` without its journal, to be read from top to bottom and changed.
"""

import argparse
from pathlib import Path

import avel_tf
from avel_tf.events.formats import write_formats
from avel_tf.inference.inputs import find_inputs

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("model", type=Path)
parser.add_argument("results", type=Path)
parser.add_argument("paths", nargs="+")
options = parser.parse_args()

# 1. The exported model contains its backbones and the input format of frames and audio.
localizer = avel_tf.load(options.model)

# 2. Files, and the videos in folders of any depth.
files = find_inputs(options.paths)

# 3. One result per file, also for files that cannot be decoded, in several formats.
written = write_formats(["jsonl", "csv", "vtt"], localizer.localize(files), options.results)
print(f"{len(files)} files: {', '.join(map(str, written.values()))}")
