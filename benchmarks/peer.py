"""PyTorch pipeline from mp4 to labels, at its best settings.

    PEER_PYTHON benchmarks/peer.py SCRATCH --tune PATHS --precisions float32 [...]
        prints all tried settings as JSON
    PEER_PYTHON benchmarks/peer.py SCRATCH --settings JSON

Needs torch, av, opencv and numpy, but not TensorFlow or avel-tf, so it can run in its own virtual
environment. Its outputs agree with the exported model up to rounding.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measuring import Work
from peer_decoding import READERS, SAMPLE_RATE, SECONDS, SIZE
from peer_networks import Head, LogMel, ResNet152V2, Vggish
from torch.ao.quantization import get_default_qconfig_mapping
from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx
from worker import serve

CORES = len(os.sched_getaffinity(0))
# torch.jit profiles two runs before it optimises.
WARM_UP = 3
MATRIX = 2048  # beyond it, rates of matrix products no longer rise here


@dataclass(frozen=True)
class Settings:
    """Options of the pipeline.

    Args:
        precision: `float32`, `bfloat16` (the whole network), `autocast` (to bfloat16) or `int8`
            (static quantization of the backbones, torch.ao.quantization, calibrated on noise).
        form: `eager`, `traced` (torch.jit, frozen: normalisations folded where they can be).
            torch.compile is left out: it needs a C++ compiler where it runs.
        batch: Images in one call.
        torch_threads: Of PyTorch's kernels.
        decoders: Files decoded at a time.
        codec_threads: Of one decoder; 0 lets FFmpeg choose.
        reader: `pyav` or `cv2`.
    """

    precision: str = "bfloat16"
    form: str = "eager"
    batch: int = 32
    torch_threads: int = CORES
    decoders: int = CORES
    codec_threads: int = 1
    reader: str = "pyav"


class Networks:
    """Both backbones and the head, in one precision and form."""

    def __init__(self, weights: Path, settings: Settings) -> None:
        torch.set_num_threads(settings.torch_threads)
        self.settings = settings
        self.dtype = torch.bfloat16 if settings.precision == "bfloat16" else torch.float32
        self.log_mel = LogMel(weights / "audio.npz")
        self.head = Head().eval()
        visual = ResNet152V2().load(weights / "visual.npz")
        audio = Vggish().load(weights / "audio.npz")
        self.visual = self._formed(visual, torch.zeros(settings.batch, 3, SIZE, SIZE))
        self.audio = self._formed(audio, torch.zeros(SECONDS, 1, 96, 64))

    def _formed(self, network: torch.nn.Module, example: torch.Tensor) -> Callable:
        network = network.eval().to(self.dtype, memory_format=torch.channels_last)
        if self.settings.precision == "int8":
            network = quantized(network, example)
        if self.settings.form == "traced":
            example = example.to(self.dtype, memory_format=torch.channels_last)
            with self._autocast():
                return torch.jit.freeze(torch.jit.trace(network, example, check_trace=False))
        return network

    def _autocast(self) -> torch.autocast:
        return torch.autocast("cpu", torch.bfloat16, self.settings.precision == "autocast")

    def embed(self, frames: np.ndarray, waveform: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """Frames uint8 [N, F, H, W, 3] and audio [N*16000] to [N, 2048] and [N, 128], float32."""
        seconds, rate = frames.shape[:2]
        # The same bytes, seen as [N*F, 3, H, W] in channels-last order: no copy.
        pictures = torch.from_numpy(frames).flatten(0, 1).permute(0, 3, 1, 2)
        with self._autocast():
            visual = torch.cat(
                [
                    self.visual(part.to(self.dtype).div_(255))
                    for part in pictures.split(self.settings.batch)
                ]
            )  # [N*F, 2048]
            patches = self.log_mel(torch.from_numpy(waveform).view(-1, SAMPLE_RATE))
            audio = self.audio(patches.to(self.dtype)).relu()  # [N, 128]
        return visual.float().view(seconds, rate, -1).mean(1), audio.float()


def quantized(network: torch.nn.Module, example: torch.Tensor) -> torch.nn.Module:
    """The network in int8. Noise calibrates it, because speed does not depend on the ranges."""
    torch.backends.quantized.engine = "x86"
    noise = torch.rand_like(example)
    prepared = prepare_fx(network, get_default_qconfig_mapping("x86"), (noise,))
    with torch.inference_mode():
        prepared(noise)
    return convert_fx(prepared)


def decoded(
    paths: Sequence[str], rate: int, settings: Settings
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Clips in order; a pool of threads decodes ahead."""
    read = READERS[settings.reader]
    waiting: deque = deque()
    files = iter(paths)
    with ThreadPoolExecutor(settings.decoders) as pool:
        # One being decoded and one ready for each decoder, and those that fill a batch.
        ahead = 2 * settings.decoders + settings.batch // (SECONDS * rate)
        for path in itertools.islice(files, ahead):
            waiting.append(pool.submit(read, path, rate, settings.codec_threads))
        while waiting:
            clip = waiting.popleft().result()
            for path in itertools.islice(files, 1):
                waiting.append(pool.submit(read, path, rate, settings.codec_threads))
            yield clip


@torch.inference_mode()
def label(networks: Networks, paths: Sequence[str], rate: int) -> np.ndarray:
    """Label of every second, int [N, T]. Frames of several clips share a batch."""
    clips = decoded(paths, rate, networks.settings)
    per_group = max(1, networks.settings.batch // (SECONDS * rate))
    labels = []
    while group := list(itertools.islice(clips, per_group)):
        frames, waveform = (np.concatenate(parts) for parts in zip(*group, strict=True))
        visual, audio = networks.embed(frames, waveform)
        outputs = networks.head(
            visual.view(len(group), SECONDS, -1), audio.view(len(group), SECONDS, -1)
        )  # [B, T, C+1]
        labels.append(outputs.argmax(-1).numpy())
    return np.concatenate(labels)


class Cases:
    """Cases that the runner can request."""

    def __init__(self, scratch: Path, settings: Settings) -> None:
        self.weights = scratch / "weights"
        self.settings = settings
        self._networks: Networks | None = None

    def networks(self, **changes) -> Networks:
        """The networks, created again only for another form."""
        wanted = replace(self.settings, **changes)
        found = self._networks
        kept = ("precision", "form")
        if found is None or any(getattr(found.settings, k) != getattr(wanted, k) for k in kept):
            self._networks = found = None  # give the memory back first
            self._networks = found = Networks(self.weights, wanted)
        found.settings = wanted
        torch.set_num_threads(wanted.torch_threads)
        return found

    def pipeline(self, paths: list[str], rate: int, **changes) -> Callable[[], Work]:
        """mp4 to labels."""

        def run(paths: Sequence[str] = paths) -> Work:
            labels = label(self.networks(**changes), paths, rate)
            assert labels.shape == (len(paths), SECONDS)
            return Work(len(paths))

        run(paths[:1])
        return run

    def embed(self, images: int, **changes) -> Callable[[], Work]:
        """Both backbones on clips in memory, one image per second."""
        generator = np.random.default_rng(0)
        frames = generator.integers(0, 256, (images, 1, SIZE, SIZE, 3)).astype(np.uint8)
        waveform = generator.uniform(-0.5, 0.5, images * SAMPLE_RATE).astype(np.float32)

        @torch.inference_mode()
        def run(images: int = images) -> Work:
            self.networks(**changes).embed(frames[:images], waveform[: images * SAMPLE_RATE])
            return Work(images)

        for _ in range(WARM_UP):
            run(min(images, replace(self.settings, **changes).batch))
        return run

    def matmul(self, precision: str) -> Callable[[], Work]:
        """Products of square matrices; the amount is in GFLOP."""
        left, right = (torch.randn(MATRIX, MATRIX) for _ in "ab")
        repeats = 16
        if precision == "int8":
            torch.backends.quantized.engine = "x86"
            scaled = torch.quantize_per_tensor(left, 0.05, 128, torch.quint8)
            weight = torch.quantize_per_tensor(right, 0.05, 0, torch.qint8)
            packed = torch.ops.quantized.linear_prepack(weight, None)

            def multiply() -> torch.Tensor:
                return torch.ops.quantized.linear(scaled, packed, 1.0, 128)

        else:
            left, right = (each.to(getattr(torch, precision)) for each in (left, right))

            def multiply() -> torch.Tensor:
                return torch.mm(left, right)

        @torch.inference_mode()
        def run() -> Work:
            torch.set_num_threads(CORES)
            for _ in range(repeats):
                multiply()
            return Work(repeats * 2 * MATRIX**3 / 1e9)

        run()
        return run


def tune(cases: Cases, paths: list[str], images: int, precisions: Sequence[str]) -> dict[str, Any]:
    """Find the best setting, one group of settings after the other.

    Args:
        cases: Cases with the initial settings.
        paths: Clips for the division of cores between decoding and embedding, at one frame per
            second, where decoding has the largest share.
        images: Number of images in a measurement of embedding alone.
        precisions: What the processor computes in; others would be emulated.

    Returns:
        `tried`, rows of setting and rate, and the `best` settings.
    """
    tried: list[dict[str, Any]] = []
    best: dict[str, Any] = {}

    def choose(case: Callable, unit: str, options: Sequence[dict], **given: Any) -> None:
        rates = []
        for option in options:
            run = case(**given, **(best | option))
            began = time.perf_counter()
            rates.append(run().amount / (time.perf_counter() - began))
            tried.append({**best, **option, unit: round(rates[-1], 3)})
            print(tried[-1], file=sys.stderr, flush=True)
        best.update(options[rates.index(max(rates))])

    eager = [*precisions, "int8"] + ["autocast"] * ("bfloat16" in precisions)
    forms = [{"precision": p, "form": "eager"} for p in eager]
    forms += [{"precision": p, "form": "traced"} for p in (*precisions, "int8")]
    choose(cases.embed, "images/s", forms, images=images)
    batches = [{"batch": size} for size in (8, 16, 32)]
    choose(cases.embed, "images/s", batches, images=max(images, 32))
    shares = sorted({(CORES, CORES), (CORES, 1), (max(1, CORES - 1), 1)})
    threads = [{"torch_threads": torch, "decoders": decoders} for torch, decoders in shares]
    choose(cases.pipeline, "clips/s", threads, paths=paths, rate=1)
    readers = [{"codec_threads": count, "reader": name} for count in (1, 0) for name in READERS]
    choose(cases.pipeline, "clips/s", readers, paths=paths, rate=1)
    return {"tried": tried, "best": asdict(replace(cases.settings, **best))}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scratch", type=Path)
    parser.add_argument("--settings", type=json.loads, default={})
    parser.add_argument("--tune", type=json.loads, metavar="[PATH, ...]")
    parser.add_argument("--precisions", nargs="+", default=["bfloat16", "float32"])
    parser.add_argument("--images", type=int, default=48, help="in a measurement of --tune")
    options = parser.parse_args()
    cases = Cases(options.scratch, Settings(**options.settings))
    if options.tune:
        print(json.dumps(tune(cases, options.tune, options.images, options.precisions)))
    else:
        serve({"pipeline": cases.pipeline, "embed": cases.embed, "matmul": cases.matmul})
