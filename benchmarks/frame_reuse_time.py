"""Processor time of the engines with and without reuse of frames.

    python -m benchmarks.frame_reuse_time [--visual MODULE] [--audio MODULE] [--rate F] [--engine E]

Embeds 20 s of segments from memory: all frames differ (moving), 5 in 8 do, as those of 10 frames
per second at F = 16 (slow), or all are equal (still). Modes of `embeddings.visual.reuse` take
turns, and their order is reversed in every other round. Prints the median processor time of `none`,
and the ratios of `exact` and `near` to it: their median and quartiles over the rounds, because the
machine may be shared. In float32.
"""

from __future__ import annotations

import argparse
from collections.abc import Generator
from dataclasses import replace
from functools import partial

import numpy as np

from avel_tf.utils.lazy_imports import load_tensorflow
from avel_tf.video.clip import SAMPLE_RATE
from avel_tf.video.segment_loader import SegmentBatch, SegmentLoader
from benchmarks.measuring import timed

SECONDS = 20
MODES = ("none", "exact", "near")


class InMemory(SegmentLoader):
    """Segments whose frames [T, F, H, W, 3] are in memory."""

    def __init__(self, frames: np.ndarray, waveform: np.ndarray) -> None:
        super().__init__([], workers=1)
        self._arrays = frames, waveform

    def batches(self, seconds: int) -> Generator[SegmentBatch, None, None]:
        for start in range(0, SECONDS, seconds):
            frames, waveform = (each[start : start + seconds] for each in self._arrays)
            yield SegmentBatch(0, frames, waveform, np.ones(len(frames), bool))


def films(rate: int, size: int) -> dict[str, InMemory]:
    """The three kinds of film."""
    rng = np.random.default_rng(0)
    count = SECONDS * rate
    images = rng.integers(0, 256, (count, size, size, 3), np.uint8)
    waveform = rng.uniform(-0.3, 0.3, (SECONDS, SAMPLE_RATE)).astype(np.float32)
    shown = {
        "moving": np.arange(count),
        "slow": np.arange(count) * 5 // 8,
        "still": np.zeros(count, int),
    }
    shape = (SECONDS, rate, size, size, 3)
    return {name: InMemory(images[each].reshape(shape), waveform) for name, each in shown.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--visual", default="compact")
    parser.add_argument("--audio", default="compact")
    parser.add_argument("--rate", type=int, default=2)
    parser.add_argument("--engine", default="openvino")
    parser.add_argument("--rounds", type=int, default=10)
    options = parser.parse_args()
    load_tensorflow()
    from avel_tf.embeddings import AudioSettings, EmbeddingSettings, VisualSettings, load_extractor
    from avel_tf.engines.available import EngineChoice
    from avel_tf.engines.engine import backbone_graphs
    from avel_tf.engines.reuse import frame_reuse
    from avel_tf.engines.selection import make_engine
    from avel_tf.engines.settings import EngineSettings

    visual = VisualSettings(module=options.visual, frames_per_second=options.rate)
    audio = AudioSettings(module=options.audio)
    extractor = load_extractor(EmbeddingSettings(visual, audio))
    graphs, recipe = backbone_graphs(extractor), extractor.recipe.visual
    choice = EngineChoice(options.engine, "float32")
    engines = []
    for mode in MODES:
        own = replace(graphs, reuse=frame_reuse(mode, recipe))
        engines.append(make_engine(choice, own, EngineSettings()))

    def embed(place: int, film: InMemory) -> None:
        for _ in engines[place].embed(film):
            pass

    print(f"{options.visual}, F = {options.rate}, {choice.description}, {options.rounds} rounds")
    for name, film in films(options.rate, recipe.size).items():
        spent = np.zeros((options.rounds, len(MODES)))
        for place in range(len(MODES)):
            embed(place, film)
        for number, row in enumerate(spent):
            for place in range(len(MODES))[:: 1 if number % 2 else -1]:
                _, row[place] = timed(partial(embed, place, film))
        ratios = spent / spent[:, :1]
        cells = [f"{np.median(spent[:, 0]):.2f} s"]
        for place in (1, 2):
            low, middle, high = np.quantile(ratios[:, place], [0.25, 0.5, 0.75])
            cells.append(f"{middle:.3f} ({low:.3f} to {high:.3f})")
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
