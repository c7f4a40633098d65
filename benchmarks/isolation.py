"""What decoding in child processes costs: clips per second with and without, in turn.

    python benchmarks/isolation.py [--rounds 6] [--clips 12]

Twelve synthetic clips of 10 s, 640 x 360, H.264 and AAC, are decoded to 224 x 224, by one reader
and by two, in this process and isolated, ABAB. Expect between -10 % and +30 %.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from measuring import processor_seconds

from avel_tf.synthesis.dataset import SynthesisSettings, make_dataset
from avel_tf.video.clip import Clip
from avel_tf.video.decode import decode_blocks
from avel_tf.video.isolated.decoder import IsolatedDecoder

Decode = Callable[..., Iterator[Clip]]


def main() -> None:
    """Makes the clips, measures, prints one row of a table for each case."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--clips", type=int, default=12)
    options = parser.parse_args()
    print("| readers | F | in this process | isolated | change | processor time, change |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        form = SynthesisSettings(seconds=10, width=640, height=360, frame_rate=25.0)
        make_dataset(folder, train=options.clips, validation=0, test=0, settings=form, workers=1)
        paths = sorted(Path(folder).glob("videos/train/*.mp4"))
        for readers in (1, 2):
            for rate in (1, 16):
                print(compare(paths, readers, rate, options.rounds), flush=True)


def compare(paths: list[Path], readers: int, rate: int, rounds: int) -> str:
    """One row: medians of clips per second, and the ratio of processor time."""
    plain, isolated = [], []
    plain_work, isolated_work = 0.0, 0.0
    with IsolatedDecoder() as decoder:
        speed(decode_blocks, paths, readers, rate)
        speed(decoder.decode_blocks, paths, readers, rate)  # children start once
        for _ in range(rounds):
            start = processor_seconds()
            plain.append(speed(decode_blocks, paths, readers, rate))
            middle = processor_seconds()
            isolated.append(speed(decoder.decode_blocks, paths, readers, rate))
            plain_work += middle - start
            isolated_work += processor_seconds() - middle
    one, other = statistics.median(plain), statistics.median(isolated)
    work = isolated_work / plain_work - 1
    return (
        f"| {readers} | {rate} | {one:.2f} clips/s | {other:.2f} clips/s "
        f"| {other / one - 1:+.1%} | {work:+.1%} |"
    )


def speed(decode: Decode, paths: list[Path], readers: int, rate: int) -> float:
    """Clips per second."""

    def read(path: Path) -> int:
        return sum(block.seconds for block in decode(path, frames_per_second=rate))

    began = time.perf_counter()
    with ThreadPoolExecutor(readers) as pool:
        assert set(pool.map(read, paths)) == {10}
    return len(paths) / (time.perf_counter() - began)


if __name__ == "__main__":
    main()
