"""Cost of decoding a clip, in milliseconds of processor and wall time.

    python benchmarks/decode.py [--rounds 5] [--against SOURCE]

Creates 10 s clips (H.264 with AAC at 360p and 720p by `synthesis`, also encoded as HEVC, VP9 and
AV1) and decodes them to 224 x 224 at F = 1, 2 and 16, in one process, by one thread.
`--against` names the source tree of another version, measured alternately with this one.
`--threads` also measures numbers of decoder threads, with one and two processes. Prints Markdown
tables of the minimum processor time over all rounds. About two minutes.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path

import av

from avel_tf.synthesis.dataset import SynthesisSettings, make_dataset

HERE = Path(__file__).resolve().parents[1]
RATES = (1, 2, 16)
SIZES = {"360p": (640, 360), "720p": (1280, 720)}
CODECS = {
    "HEVC": ("libx265", {"preset": "fast", "x265-params": "log-level=none"}),
    "VP9": ("libvpx-vp9", {"deadline": "realtime", "cpu-used": "6"}),
    "AV1": ("libsvtav1", {"preset": "10"}),
}


def main() -> None:
    """Makes the clips, measures, prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--against", type=Path, help="source tree of another version")
    parser.add_argument("--threads", action="store_true", help="numbers of threads as well")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(decode_all(**json.loads(options.child))))
        return
    with tempfile.TemporaryDirectory() as folder:
        clips = make_clips(Path(folder))
        compare(clips, options.against, options.rounds)
        if options.threads:
            compare_threads([str(p) for n, p in clips.items() if "H.264" in n], options.rounds)


def make_clips(folder: Path) -> dict[str, Path]:
    """One clip for each size and codec."""
    clips = {}
    for size, (width, height) in SIZES.items():
        form = SynthesisSettings(seconds=10, width=width, height=height, frame_rate=25.0)
        make_dataset(folder / size, train=1, validation=0, test=0, settings=form, workers=1)
        (path,) = (folder / size).glob("videos/train/*.mp4")
        clips[f"H.264 {size}"] = path
        if size == "360p":
            for name, (codec, how) in CODECS.items():
                clips[f"{name} {size}"] = recode(path, folder / f"{name}.mp4", codec, how)
    return clips


def recode(source: Path, target: Path, codec: str, options: dict[str, str]) -> Path:
    """The same frames and audio in another format."""
    with av.open(str(source)) as old, av.open(str(target), "w") as new:
        picture, sound = old.streams.video[0], old.streams.audio[0]
        video = new.add_stream(codec, rate=25, options=options)
        video.width, video.height, video.pix_fmt = picture.width, picture.height, "yuv420p"
        copy = new.add_stream_from_template(sound)
        packets = []
        for packet in old.demux(picture, sound):
            if packet.stream is sound and packet.size:
                packet.stream = copy
                packets.append(packet)
            elif packet.stream is picture:
                for frame in packet.decode():
                    frame.pts = round(frame.pts * frame.time_base * 25)
                    frame.time_base, frame.pict_type = Fraction(1, 25), 0
                    packets += video.encode(frame)
        packets += video.encode(None)
        for packet in sorted(packets, key=lambda p: p.dts * p.time_base):
            new.mux(packet)
    # SVT-AV1 leaves a process of root with real-time priority.
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    return target


def compare(clips: dict[str, Path], against: Path | None, rounds: int) -> None:
    """A row for each clip and F; processor time and waiting, in ms."""
    versions = [against, HERE] if against else [HERE]
    least: dict[tuple, list[float]] = {}
    for _ in range(rounds):
        for name, path in clips.items():
            for rate in RATES:
                for version in versions:
                    times = child(version, paths=[str(path)], rate=rate, threads=1, times=3)
                    best = least.setdefault((name, rate, version), times)
                    least[name, rate, version] = [
                        min(a, b) for a, b in zip(best, times, strict=True)
                    ]
    titles = ["before", "now"] if against else ["now"]
    print("| clip of 10 s | F |" + "".join(f" {t}, CPU (wall) |" for t in titles))
    print("|---|---|" + "---|" * len(titles))
    for name in clips:
        for rate in RATES:
            cells = [least[name, rate, version] for version in versions]
            row = "".join(f" {1000 * cpu:.0f} ms ({1000 * wall:.0f}) |" for cpu, wall in cells)
            print(f"| {name} | {rate} |{row}", flush=True)


def compare_threads(paths: list[str], rounds: int) -> None:
    """Measure the number of decoder threads for one process and for two."""
    least: dict[tuple[int, int, int], list[float]] = {}
    for _ in range(rounds):
        for rate in (1, 16):
            for processes in (1, 2):
                for threads in (1, 2, 0):
                    job = {"paths": paths, "rate": rate, "threads": threads, "times": 3}
                    running = [start(HERE, **job) for _ in range(processes)]
                    ends = [json.loads(process.communicate()[0]) for process in running]
                    worst = [max(end[0] for end in ends), max(end[1] for end in ends)]
                    best = least.setdefault((rate, processes, threads), worst)
                    pairs = zip(best, worst, strict=True)
                    least[rate, processes, threads] = [min(a, b) for a, b in pairs]
    print("\n| F | processes | threads of each | CPU per clip | clips/s, all together |")
    print("|---|---|---|---|---|")
    for (rate, processes, threads), (cpu, wall) in least.items():
        clips = processes * len(paths) / wall
        print(
            f"| {rate} | {processes} | {threads or 'one per core'} "
            f"| {1000 * cpu / len(paths):.0f} ms | {clips:.1f} |"
        )


def start(version: Path, **job: object) -> subprocess.Popen:
    """A process that decodes with one version of the library."""
    return subprocess.Popen(
        [sys.executable, __file__, "--child", json.dumps(job)],
        env={**os.environ, "PYTHONPATH": str(version)},
        stdout=subprocess.PIPE,
        text=True,
    )


def child(version: Path, **job: object) -> list[float]:
    """Processor time and waiting, in seconds, of one pass over the files."""
    return json.loads(start(version, **job).communicate()[0])


def decode_all(paths: list[str], rate: int, threads: int, times: int) -> list[float]:
    """Minimum processor and waiting time of several passes, after a warm-up."""
    from avel_tf.video.decode import DecodeSettings, decode_clip

    passes = []
    for _ in range(times + 1):
        used, began = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
        for path in paths:
            decode_clip(path, frames_per_second=rate, settings=DecodeSettings(threads=threads))
        wall, now = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF)
        passes.append((now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime, wall))
    return [min(cpu for cpu, _ in passes[1:]), min(wall for _, wall in passes[1:])]


if __name__ == "__main__":
    main()
