"""Label every second of video files and folders with an exported model.

    python pipelines/infer.py saved_models/NAME RESULTS PATH [PATH ...]

This is what `avel infer` does, to be read from top to bottom and changed.
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

# 1. The model says itself how pictures and sound have to be prepared.
localizer = avel_tf.load(options.model)

# 2. Files named here, and videos in the folders named here, at any depth.
files = find_inputs(options.paths)

# 3. One result for every file, whatever is wrong with it; written as they come.
written = write_formats(["jsonl", "csv", "vtt"], localizer.localize_files(files), options.results)
print(f"{len(files)} files: {', '.join(map(str, written.values()))}")
