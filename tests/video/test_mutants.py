"""Hundreds of damaged films through the isolated decoder: each ends as a clip or as an error.

`AVEL_MUTANTS=10000 pytest tests/video/test_mutants.py` runs the long set.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from avel_tf.video.decode_settings import DecodeSettings
from avel_tf.video.errors import MediaError
from tests.video.hostile import ARCHIVE_FILMS, FILMS, KINDS, SIZE, mutant, write_small
from tests.video.in_process import OwnDecoder
from tests.video.test_decode import invariants

COUNT = int(os.environ.get("AVEL_MUTANTS", "400"))
# One thread: films this small decode faster so, and what a seed does can be repeated.
SETTINGS = DecodeSettings(threads=1, max_stall_seconds=20, max_memory_mb=512, max_seconds=600)


def outcome(decoder: OwnDecoder, path: Path) -> str:
    """How a file ended, in a word."""
    try:
        blocks = list(
            decoder.decode_blocks(path, frames_per_second=2, size=SIZE, settings=SETTINGS)
        )
    except MediaError as error:
        for word in ("killed by signal", "hung", "longer than", "of memory", "nonsense", "failed"):
            if word in error.cause:
                return word
        return "refused"
    for block in blocks[:-1]:
        assert block.problem is None and block.valid.all()
    for block in blocks:
        invariants(block, 2, SIZE)
    return "partial" if blocks[-1].problem else "ok"


def try_mutants(whole: Path, count: int) -> Counter[str]:
    """How so many mutants of a film end; seeded by film, kind and number."""
    body = whole.read_bytes()
    path = whole.with_name(f"mutant{whole.suffix}")
    ends: Counter[tuple[str, str]] = Counter()
    slowest, began = 0.0, time.monotonic()
    with OwnDecoder() as decoder:
        assert outcome(decoder, whole) == "ok"
        first = decoder.idle_pids
        for number in range(count):
            kind = KINDS[number % len(KINDS)]
            rng = np.random.default_rng([len(body), KINDS.index(kind), number])
            path.write_bytes(mutant(body, kind, rng))
            start = time.monotonic()
            try:
                end = outcome(decoder, path)
            except AssertionError:
                kept = Path("/tmp") / f"avel-mutant-{whole.stem}-{kind}-{number}{whole.suffix}"
                path.rename(kept)
                raise AssertionError(f"{kept} gave a clip that breaks the contract") from None
            slowest = max(slowest, time.monotonic() - start)
            ends[kind, end] += 1
        assert outcome(decoder, whole) == "ok"  # after all that, the decoder is as good as new
        restarted = decoder.idle_pids != first
    # `pytest -s` shows the table.
    took = f"{time.monotonic() - began:.1f} s, slowest {slowest:.2f} s"
    print(f"\n{whole.name}: {took}, child replaced: {restarted}")
    for kind in KINDS:
        print(f"  {kind:8}", {end: n for (k, end), n in sorted(ends.items()) if k == kind})
    words: Counter[str] = Counter()
    for (_, end), number in ends.items():
        words[end] += number
    assert words.total() == count
    assert not set(words) & {"killed by signal", "hung", "longer than", "nonsense", "failed"}
    return words


@pytest.mark.slow
@pytest.mark.parametrize("name", [film[0] for film in FILMS + ARCHIVE_FILMS])
def test_mutants(name: str, tmp_path: Path) -> None:
    """Seeded by codec, kind and number, so that any one of them can be made again."""
    words = try_mutants(write_small(tmp_path, name), COUNT // len(FILMS))
    # Were damage never noticed, or everything refused, the films would prove nothing.
    assert {"ok", "partial", "refused"} <= set(words)


@pytest.mark.parametrize("name", [film[0] for film in ARCHIVE_FILMS])
def test_a_few_mutants_of_old_formats(name: str, tmp_path: Path) -> None:
    try_mutants(write_small(tmp_path, name, seconds=1.0), 2 * len(KINDS))


@pytest.mark.slow
def test_mutants_of_theora(shared: Path, tmp_path: Path) -> None:
    """There is no encoder for it here, so a file is borrowed."""
    whole = tmp_path / "theora.ogv"
    whole.write_bytes((shared / "awkward" / "timing" / "x.ogv").read_bytes())
    assert {"ok", "partial", "refused"} <= set(try_mutants(whole, COUNT // len(FILMS)))


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [3.0, 2.6])
@pytest.mark.parametrize(
    ("name", "options"),
    [("h264", {"movflags": "faststart"}), ("h264", {}), ("vp9", {}), ("av1", {})],
    ids=["index in front", "index at the end", "vp9", "av1"],
)
def test_every_percent(name: str, options: dict, seconds: float, tmp_path: Path) -> None:
    """A film that lacks seconds never passes for a whole one."""
    whole = write_small(tmp_path, name, seconds=seconds, options=options)
    body = whole.read_bytes()
    path = tmp_path / f"cut{whole.suffix}"
    ends: Counter[str] = Counter()
    with OwnDecoder() as decoder:
        for percent in range(100):
            path.write_bytes(body[: len(body) * percent // 100])
            try:
                clip = decoder.decode_clip(path, size=SIZE, settings=SETTINGS)
            except MediaError:
                ends["refused"] += 1
                continue
            invariants(clip, 1, SIZE)
            assert clip.problem is not None or clip.valid.sum() == 3, percent
            ends["partial" if clip.problem else "ok"] += 1
        clip = decoder.decode_clip(whole, size=SIZE, settings=SETTINGS)
        assert clip.valid.tolist() == [True] * 3 and clip.problem is None
    print(f"\n{whole.name}, {seconds} s: {dict(ends)}")
    if name == "h264" and not options:
        # The last percent holds no table, only the name of the program that wrote the film.
        assert ends["refused"] >= 98 and not ends["partial"]
    else:
        assert ends["partial"] > 30
