"""Cases of the comparison."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

ENGINES = ("openvino", "tensorflow")
HEIGHTS = (360, 720)
RATES = (1, 16)
# At 16 frames per second the height matters less than the noise.
PIPELINES = ((1, 360), (1, 720), (16, 360))
# In this order, because the first fills the caches for the others.
KINDS = ("start", "matmul", "bare", "embed", "decode", "head", "pipeline", "compact", "command")
# F of the compact backbones: the quick recipe and the default, which the pretrained model uses.
COMPACT_RATES = (1, 2)

# Text for the peer's settings in tables.
ABOUT = ("precision", "form", "reader")
# Paths of so many clips of a height.
Clips = Callable[[int, int], list[str]]


@dataclass(frozen=True)
class Case:
    """One row of a table: a request to a worker.

    Args:
        label: Name in the table.
        unit: Unit of the amount.
        worker: Script and arguments after SCRATCH.
        request: See `serve`.
        peer: True to run in the peer's interpreter, which needs torch.
    """

    label: str
    unit: str
    worker: tuple[str, ...]
    request: dict[str, Any]
    peer: bool = False

    @property
    def needs(self) -> str | None:
        """The required package."""
        if self.peer:
            return "torch"
        asked = (*self.worker, self.request.get("engine"))
        return "openvino" if "openvino" in asked else None


@dataclass(frozen=True)
class Contest:
    """Cases that are measured alternately, in at most `rounds` rounds."""

    name: str
    kind: str
    cases: list[Case]
    rounds: int | None = None


@dataclass(frozen=True)
class Amounts:
    """Amount of work in a round of a case."""

    clips: dict[int, int]  # for each F
    slow_clips: dict[int, int]  # the same for pipelines that are two to eight times slower
    compact_clips: int
    decoded: int
    images: int
    steps_clips: int

    def scaled(self, factor: float) -> Amounts:
        """A part of the work with the networks, for slower processors."""

        def part(amount: int, least: int) -> int:
            return max(least, round(amount * factor))

        return replace(
            self,
            clips={rate: part(clips, 2 if rate == 1 else 1) for rate, clips in self.clips.items()},
            slow_clips={rate: part(clips, 1) for rate, clips in self.slow_clips.items()},
            images=part(self.images, 32),
        )


# For processors that reach this rate in matrix products of their fastest precision.
FULL_GFLOPS = 900.0
FULL = Amounts(
    {1: 32, 16: 4}, {1: 8, 16: 1}, compact_clips=128, decoded=8, images=96, steps_clips=256
)
QUICK = Amounts({1: 2, 16: 1}, {1: 1, 16: 1}, compact_clips=2, decoded=2, images=32, steps_clips=64)


def contests(
    kinds: Collection[str],
    clips: Clips,
    amounts: Amounts,
    cores: int,
    peer_settings: dict[str, Any],
    precisions: Sequence[str],
    *,
    int8: bool = False,
    large: bool = True,
) -> Iterator[Contest]:
    """All contests of these kinds, in order of measurement.

    Args:
        kinds: Some of `KINDS`.
        clips: Function that returns clips.
        amounts: Amount of work in a round.
        cores: Number of available cores.
        peer_settings: Best settings of the peer.
        precisions: What the engines compute in on this machine, fastest first.
        int8: Whether the processor has instructions for int8, in which pipelines then run as well.
        large: Whether there are networks of ResNet-152 and VGGish to compare the compact ones with.
    """
    peer = _peer(peer_settings)
    fastest = precisions[0]
    if "start" in kinds:
        yield from _start(clips, fastest)
    if "matmul" in kinds:
        yield _matmul(peer, precisions)
    if "bare" in kinds:
        yield from _bare(amounts, precisions)
    if "embed" in kinds:
        for rate in RATES:
            yield _embed(rate, amounts, peer, precisions)
    if "decode" in kinds:
        for height, rate in itertools.product(HEIGHTS, RATES):
            yield _decode(clips(height, amounts.decoded), height, rate, cores)
    if "head" in kinds:
        yield from _head(amounts)
    if "pipeline" in kinds:
        # F is the outer loop, because workers of one F are not needed for the other.
        for rate, height in PIPELINES:
            engines = [(engine, fastest) for engine in ENGINES]
            engines += [("openvino", "int8")] * int8
            yield _pipeline(clips, height, rate, amounts, peer, peer_settings, engines)
    if "compact" in kinds:
        yield from _compact(clips, amounts, fastest, large)
    if "command" in kinds:
        yield _command(clips(360, amounts.clips[1]), fastest)


def _peer(settings: dict[str, Any]) -> tuple[str, ...]:
    return ("peer.py", "--settings", json.dumps(settings))


def ours(engine: str, precision: str) -> str:
    """Name of an engine in tables."""
    return f"avel-tf, {engine} {precision}"


def _start(clips: Clips, fastest: str) -> Iterator[Contest]:
    cases = [Case("avel --help", "commands", ("command.py",), {"case": "help"})]
    one = {"case": "infer", "paths": clips(360, 1)}
    for engine in ("auto", "openvino", "tensorflow"):
        precision = "auto" if engine == "auto" else fastest
        request = {**one, "model": "large-f1", "engine": engine, "precision": precision}
        name = f"avel infer, one clip, {engine}"
        label = name if engine == "auto" else f"{name} {precision}"
        cases.append(Case(label, "commands", ("command.py",), request))
    yield Contest("start", "start", cases)
    yield _first("start, first time on a machine", cases[1])


def _first(name: str, case: Case) -> Contest:
    """Convert and compile networks and prove engines, once."""
    first = Case(case.label, case.unit, case.worker, {**case.request, "first": True})
    return Contest(name, "start", [first], rounds=1)


def _matmul(peer: tuple[str, ...], precisions: Sequence[str]) -> Contest:
    """Matrix products; int8 on every processor, because it shows what quantization could give."""
    engines = [*itertools.product(ENGINES, precisions), ("openvino", "int8")]
    cases = [
        Case(f"{engine} {precision}", "GFLOP", ("bare.py", engine, precision), {"case": "matmul"})
        for engine, precision in engines
    ]
    for precision in (*precisions, "int8"):
        request = {"case": "matmul", "precision": precision}
        cases.append(Case(f"torch {precision}", "GFLOP", peer, request, peer=True))
    return Contest("matmul", "matmul", cases)


def _bare(amounts: Amounts, precisions: Sequence[str]) -> Iterator[Contest]:
    for what, request in (
        ("images", {"case": "images", "images": amounts.images}),
        ("sounds", {"case": "sounds", "seconds": amounts.images}),
    ):
        unit = "images" if what == "images" else "patches"
        cases = [
            Case(f"{engine} {precision}", unit, ("bare.py", engine, precision), request)
            for engine, precision in itertools.product(ENGINES, precisions)
        ]
        yield Contest(f"bare network, {what}", "bare", cases)


def _embed(
    rate: int, amounts: Amounts, peer: tuple[str, ...], precisions: Sequence[str]
) -> Contest:
    # Whole calls, as for files of ten seconds: what is left takes twice the time for each image.
    images = 10 * round(amounts.images / 10) if rate == 1 else amounts.images
    request = {"case": "embed", "images": images}
    cases = [
        Case(ours(*engine), "images", ("ours.py", *engine, str(rate)), request)
        for engine in itertools.product(ENGINES, precisions if rate == 1 else precisions[:1])
    ]
    if rate == 1:
        cases.append(Case("PyTorch, best", "images", peer, request, peer=True))
        # A separate worker, so that creating the networks is not measured.
        plain = _peer({"precision": "float32"})
        cases.append(Case("PyTorch float32", "images", plain, request, peer=True))
        cases.append(Case("TensorFlow float32", "images", ("tensorflow_path.py",), request))
    return Contest(f"embed, {per_second(rate)}", "embed", cases)


def _decode(paths: list[str], height: int, rate: int, cores: int) -> Contest:
    common = {"case": "decode", "paths": paths, "rate": rate, "readers": cores}
    # A worker each, because waiting child processes count as memory.
    ways = {"avel-tf, isolated": True, "avel-tf, in this process": False}
    cases = [
        Case(label, "clips", ("our_decoding.py", label), {**common, "isolated": isolated})
        for label, isolated in ways.items()
    ]
    for label, reader in (("PyAV", "pyav"), ("OpenCV", "cv2")):
        request = {**common, "reader": reader, "threads": 1}
        cases.append(Case(label, "clips", ("peer_decoding.py",), request))
    return Contest(contest_name("decode", height, rate), "decode", cases)


def _head(amounts: Amounts) -> Iterator[Contest]:
    clips = amounts.steps_clips
    train = Case("training, from memory", "steps", ("ours.py",), {"case": "train", "clips": clips})
    yield Contest("head, training", "head", [train])
    read = Case(
        "reading a feature store", "clips", ("ours.py",), {"case": "read_features", "clips": clips}
    )
    predict = {"case": "predict", "clips": 8 * clips, "batch": 16}
    cases = [
        Case(f"prediction, {engine}", "clips", ("ours.py", engine, "float32", "1"), predict)
        for engine in ENGINES
    ]
    yield Contest("head, prediction and reading", "head", [read, *cases])


def _pipeline(
    clips: Clips,
    height: int,
    rate: int,
    amounts: Amounts,
    peer: tuple[str, ...],
    peer_settings: dict[str, Any],
    engines: Sequence[tuple[str, str]],
) -> Contest:
    """mp4 to labels. Neither ours nor the peer's int8 is asked what labels it changes."""
    fast = clips(height, amounts.clips[rate])
    slow = clips(height, amounts.slow_clips[rate])
    request = {"case": "pipeline", "paths": fast}
    cases = [
        Case(ours(engine, precision), "clips", ("ours.py", engine, precision, str(rate)), request)
        for engine, precision in engines
    ]
    about = " ".join(["PyTorch", *(str(peer_settings[k]) for k in ABOUT if k in peer_settings)])
    cases.append(Case(about, "clips", peer, {**request, "rate": rate}, peer=True))
    plain = {"case": "pipeline", "paths": slow, "rate": rate, "reader": "cv2"}
    cases.append(Case("TensorFlow float32", "clips", ("tensorflow_path.py",), plain))
    return Contest(contest_name("pipeline", height, rate), "pipeline", cases)


def _compact(clips: Clips, amounts: Amounts, precision: str, with_large: bool) -> Iterator[Contest]:
    many = amounts.compact_clips
    for rate, height in itertools.product(COMPACT_RATES, HEIGHTS):
        request = {"case": "pipeline", "paths": clips(height, many)}
        cases = [
            Case(
                f"avel-tf compact, {engine} {precision}",
                "clips",
                ("ours.py", engine, precision, str(rate), "compact"),
                request,
            )
            for engine in ENGINES
        ]
        if rate == 1 and with_large:  # the reference
            large = ("ours.py", "openvino", precision, "1")
            slow = {**request, "paths": clips(height, amounts.clips[1])}
            cases.append(Case(f"ResNet-152, openvino {precision}", "clips", large, slow))
        if rate == 2:  # the F of the pretrained model
            cases.append(_pretrained(clips(height, many), f"{many} clips"))
        yield Contest(contest_name("compact", height, rate), "compact", cases)
    start = _pretrained(clips(360, 1), "one clip")
    yield Contest("compact, start", "compact", [start])
    yield _first("compact, start, first time on a machine", start)


def _pretrained(paths: list[str], amount: str) -> Case:
    request = {"case": "infer", "paths": paths, "engine": "auto", "precision": "auto"}
    return Case(f"avel infer, {amount}, shipped model", "clips", ("command.py",), request)


def _command(paths: list[str], precision: str) -> Contest:
    cases = []
    for engine in ENGINES:
        request = {"case": "infer", "paths": paths, "model": "large-f1"}
        request |= {"engine": engine, "precision": precision}
        cases.append(Case(f"avel infer, {engine} {precision}", "clips", ("command.py",), request))
    return Contest(contest_name("command", 360, 1), "command", cases)


def contest_name(kind: str, height: int, rate: int) -> str:
    """As in `decode, 360p, 1 frame/s`."""
    return f"{kind}, {height}p, {per_second(rate)}"


def per_second(rate: int) -> str:
    """As in `16 frames/s`."""
    return f"{rate} frame{'s' * (rate > 1)}/s"
