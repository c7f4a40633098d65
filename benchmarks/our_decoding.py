"""Decoding by avel-tf alone."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from measuring import Work
from worker import serve

from avel_tf.video.decode import decode_blocks
from avel_tf.video.isolated.decoder import shared_decoder

SECONDS = 10


def decode(paths: list[str], rate: int, isolated: bool, readers: int) -> Callable[[], Work]:
    """Decoding alone, in child processes as `avel infer` does it, or in this one."""
    blocks_of = shared_decoder().decode_blocks if isolated else decode_blocks

    def read(path: str) -> int:
        return sum(block.seconds for block in blocks_of(path, frames_per_second=rate))

    def run() -> Work:
        with ThreadPoolExecutor(readers) as pool:
            assert set(pool.map(read, paths)) == {SECONDS}
        return Work(len(paths))

    run()  # child processes start once
    return run


if __name__ == "__main__":
    serve({"decode": decode})
