"""Cost of decoding in worker processes: clips per second with and without, in turn.

    python benchmarks/isolation.py [--rounds 6] [--clips 12]

Twelve synthetic clips of 10 s, 640 x 360, H.264 and AAC, are decoded to 224 x 224, by one reader
and by two, alternating between this process and worker processes. Expect between -10 % and +30 %.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from measuring import processor_seconds

from avel_tf.synthesis.dataset import SynthesisSettings, make_dataset
from avel_tf.video.decode import DecodeSettings, decode_blocks


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
    speed(False, paths, readers, rate)
    speed(True, paths, readers, rate)  # worker processes start once
    for _ in range(rounds):
        start = processor_seconds()
        plain.append(speed(False, paths, readers, rate))
        middle = processor_seconds()
        isolated.append(speed(True, paths, readers, rate))
        plain_work += middle - start
        isolated_work += processor_seconds() - middle
    one, other = statistics.median(plain), statistics.median(isolated)
    work = isolated_work / plain_work - 1
    return (
        f"| {readers} | {rate} | {one:.2f} clips/s | {other:.2f} clips/s "
        f"| {other / one - 1:+.1%} | {work:+.1%} |"
    )


def speed(isolated: bool, paths: list[Path], readers: int, rate: int) -> float:
    """Returns clips per second."""
    settings = DecodeSettings(isolated=isolated)

    def read(path: Path) -> int:
        blocks = decode_blocks(path, frames_per_second=rate, settings=settings)
        return sum(block.seconds for block in blocks)

    began = time.perf_counter()
    with ThreadPoolExecutor(readers) as pool:
        assert set(pool.map(read, paths)) == {10}
    return len(paths) / (time.perf_counter() - began)


if __name__ == "__main__":
    main()
