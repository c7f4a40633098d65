"""Benchmark of decoding by avel-tf, without embedding."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from measuring import Work
from worker import serve

from avel_tf.video.decode import DecodeSettings, decode_blocks

SECONDS = 10


def decode(paths: list[str], rate: int, isolated: bool, readers: int) -> Callable[[], Work]:
    """Decodes files in worker processes, as `avel infer` does, or in this process."""
    settings = DecodeSettings(isolated=isolated)

    def read(path: str) -> int:
        return sum(
            block.seconds
            for block in decode_blocks(path, frames_per_second=rate, settings=settings)
        )

    def run() -> Work:
        with ThreadPoolExecutor(readers) as pool:
            assert set(pool.map(read, paths)) == {SECONDS}
        return Work(len(paths))

    run()  # worker processes start once
    return run


if __name__ == "__main__":
    serve({"decode": decode})
