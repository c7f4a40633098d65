"""int8 beside float32: labels that change, accuracy, and processor time per image.

    python benchmarks/accuracy/int8.py DATA --model SAVED_MODEL [--split validation]

The network is calibrated on the other videos of DATA and compared on those of the split. The
finding is kept in the cache, where `auto` reads it on a processor with VNNI or AMX, and
`avel doctor` shows it. The embedding stage is then measured in rounds of all precisions, on frames
in memory; where the processor computes in bfloat16, that is one of them.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from avel_tf.config import resolve_config
from avel_tf.datasets import load_dataset, segment_labels
from avel_tf.engines.available import EngineChoice, computes_in_bfloat16
from avel_tf.engines.fallback import load_engine
from avel_tf.engines.int8_proof import LabelledClip, compare, save_finding
from avel_tf.engines.openvino_engine import OpenVinoEngine
from avel_tf.engines.quantization import SECONDS, quantize
from avel_tf.engines.sample import SampleFiles
from avel_tf.engines.settings import EngineSettings
from avel_tf.inference.pipeline import InferencePipeline

sys.path.insert(0, str(Path(__file__).parents[1]))
from ours import in_memory

FLOAT32 = EngineChoice("openvino", "float32")


def main() -> None:
    """Print what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--split", default="validation")
    parser.add_argument("--cache", help="folder of the quantized network and of the finding")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, default=64, help="in one round")
    options = parser.parse_args()

    config = resolve_config(None)
    settings = EngineSettings("openvino", "int8", cache=options.cache)
    pipeline = InferencePipeline(options.model, engine=settings)
    graphs, recipe = pipeline._graphs, pipeline.model.recipe
    dataset = load_dataset(options.data, config.dataset)
    videos = dataset.split(options.split)
    compared = {video.path for video in videos}
    others = [video.path for video in dataset.videos if video.path not in compared]

    begin = processor_seconds()
    network = quantize(graphs, settings, SampleFiles(others, recipe, config.media))
    spent = processor_seconds() - begin
    print(
        f"{network.choice.description}: {network.content['layers']}, calibrated on "
        f"{network.content['calibration']['segments']} segments, {spent:.0f} s of processor time"
    )

    def clips() -> Iterator[LabelledClip]:
        for video in videos:
            for clip in SampleFiles([video.path], recipe, config.media).clips(SECONDS):
                yield clip, segment_labels(video.annotations, dataset.labels, clip.seconds)

    engines = tuple(load_engine(each, graphs, settings) for each in (network.choice, FLOAT32))
    begin = processor_seconds()
    finding = compare(network.choice, FLOAT32, engines, graphs, clips(), most=sys.maxsize)
    spent = processor_seconds() - begin
    if pipeline.labels.names != dataset.labels.names:
        print("The classes of the model are not those of the data: only flips count.")
        finding = replace(finding, labelled=0, right=(0, 0))
    save_finding(finding, settings)
    print(f"{'accepted' if finding.accepted else 'not accepted'}: {finding}; smallest cosine "
          f"{finding.cosine:.4f}; {spent:.0f} s of processor time")  # fmt: skip
    del engines

    choices = [FLOAT32, *[EngineChoice("openvino", "bfloat16")] * computes_in_bfloat16()]
    choices.append(network.choice)
    runs = {each: Timed(load_engine(each, graphs, settings), recipe) for each in choices}
    for run in runs.values():
        run(options.images)
    rounds = [
        {each: run(options.images) for each, run in runs.items()} for _ in range(options.rounds)
    ]
    for each in choices:
        processor, wall = (
            statistics.median(1000 * one[each][kind] / options.images for one in rounds)
            for kind in (0, 1)
        )
        ratios = [one[FLOAT32][0] / one[each][0] for one in rounds]
        print(f"{each.description}: {processor:.1f} ms of processor time per image, {wall:.1f} of "
              f"wall time; {statistics.median(ratios):.2f} times float32 "
              f"({min(ratios):.2f} to {max(ratios):.2f})")  # fmt: skip


class Timed:
    """Embedding of frames in memory by one engine: processor and wall seconds."""

    def __init__(self, engine: OpenVinoEngine, recipe) -> None:
        self.engine, self.recipe = engine, recipe

    def __call__(self, images: int) -> tuple[float, float]:
        rate, size = self.recipe.visual.frames_per_second, self.recipe.visual.size
        stream = in_memory(images // rate, rate, size)
        processor, wall = self._processor(), time.perf_counter()
        done = sum(len(batch.valid) for batch, _, _ in self.engine.embed(stream))
        assert done == images // rate
        return self._processor() - processor, time.perf_counter() - wall

    def _processor(self) -> float:
        return seconds_of(self.engine._process.pid)


def seconds_of(pid: int) -> float:
    """Processor time of a process that is alive."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def processor_seconds() -> float:
    """Processor time of this process and of its children, alive or not."""
    spent = sum(os.times()[:4])
    for children in Path("/proc/self/task").glob("*/children"):
        spent += sum(seconds_of(int(pid)) for pid in children.read_text().split())
    return spent


if __name__ == "__main__":
    main()
