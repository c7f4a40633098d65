"""Load on `avel serve` over loopback: requests, errors, latencies and memory.

Each of CLIENTS threads does without a pause what the page does while a person reviews: it reads
seconds, curves, spectrogram and parts of the file, and changes an annotation. One more thread
uploads clips and removes each after its job, another one labels clips synchronously.

    python benchmarks/serving.py CLIP.mp4 ... [--seconds 300] [--clients 4]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import httpx
import numpy as np

# Times and statuses by kind of request.
Log = dict[str, list[tuple[float, int]]]


def resident_mb(pid: int) -> float:
    """Resident memory of a process in MB (2^20 bytes)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


def children(pid: int) -> list[int]:
    """Child processes of a process."""
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    # Processes that another thread started are listed there.
    for task in Path(f"/proc/{pid}/task").iterdir():
        if task.name != str(pid):
            text += (task / "children").read_text()
    return list(map(int, text.split()))


class Load:
    """Requests of several threads to one server, and their times.

    Args:
        url: The server.
        clips: Video files.
    """

    def __init__(self, url: str, clips: list[Path]) -> None:
        self.url = url
        self.clips = clips
        self.log: Log = defaultdict(list)
        self.stop = threading.Event()

    def request(
        self, client: httpx.Client, kind: str, method: str, path: str, **options: object
    ) -> httpx.Response | None:
        """Make one request and record it; status 0 stands for a broken connection."""
        began = time.perf_counter()
        try:
            answer = client.request(method, path, **options)  # type: ignore[arg-type]
        except httpx.TransportError:
            self.log[kind].append((time.perf_counter() - began, 0))
            return None
        self.log[kind].append((time.perf_counter() - began, answer.status_code))
        return answer

    def review(self, video: str) -> None:
        """The page of a person who reviews a video."""
        base = f"/api/v1/videos/{video}"
        with httpx.Client(base_url=self.url, timeout=60) as client:
            for number in range(10**9):
                if self.stop.is_set():
                    return
                self.request(client, "second", "GET", f"{base}/seconds/{number % 3}")
                if number % 5 == 0:
                    self.request(client, "curves", "GET", f"{base}/scores")
                    self.request(client, "spectrogram", "GET", f"{base}/spectrogram/0.png")
                    self.request(client, "videos", "GET", "/api/v1/videos")
                if number % 10 == 0:
                    part = {"Range": "bytes=0-99999"}
                    self.request(client, "part of the file", "GET", f"{base}/media", headers=part)
                    event = {"label": "Bark", "start": 0, "end": 1 + number % 2}
                    path = f"{base}/annotations"
                    added = self.request(client, "correction", "POST", path, json=event)
                    if added is not None and added.status_code == 201:
                        path = f"{path}/{added.json()['id']}"
                        self.request(client, "correction", "DELETE", path)

    def jobs(self) -> None:
        """Uploads, one job after the other."""
        with httpx.Client(base_url=self.url, timeout=600) as client:
            for number in range(10**9):
                if self.stop.is_set():
                    return
                self.label(client, self.clips[number % len(self.clips)])

    def label(self, client: httpx.Client, clip: Path) -> None:
        """Upload a clip, wait for its job, and remove it."""
        began = time.perf_counter()
        with open(clip, "rb") as file:
            answer = self.request(client, "upload", "POST", "/api/v1/videos", files={"file": file})
        if answer is None or answer.status_code != 202:
            return
        accepted = answer.json()
        with client.stream("GET", f"/api/v1/jobs/{accepted['job']}/events") as events:
            text = events.read().decode()
        done = '"state": "done"' in text
        self.log["job of a clip"].append((time.perf_counter() - began, 200 if done else 500))
        self.request(client, "removal", "DELETE", f"/api/v1/videos/{accepted['video']}")

    def synchronous(self) -> None:
        """Synchronous labelling, one clip after the other."""
        with httpx.Client(base_url=self.url, timeout=600) as client:
            for number in range(10**9):
                if self.stop.is_set():
                    return
                with open(self.clips[number % len(self.clips)], "rb") as file:
                    path = "/v1/video/events"
                    self.request(client, "synchronous", "POST", path, files={"file": file})


def table(log: Log) -> str:
    """Table of the requests by kind."""
    lines = ["| request | number | errors | p50 | p99 |", "|---|---|---|---|---|"]
    page = [each for kind in log if kind not in _LABELLING for each in log[kind]]
    for kind, rows in {**log, "all but labelling": page}.items():
        times = np.array([seconds for seconds, _ in rows]) * 1000
        errors = sum(not 200 <= status < 300 for _, status in rows)
        p50, p99 = np.percentile(times, [50, 99])
        lines.append(f"| {kind} | {len(rows):,} | {errors} | {p50:,.0f} ms | {p99:,.0f} ms |")
    return "\n".join(lines)


_LABELLING = ("job of a clip", "synchronous")


def start(folder: Path, port: int) -> subprocess.Popen:
    """Start a server and wait until its model is ready."""
    command = [sys.executable, "-m", "avel_tf.cli", "serve", "--port", str(port)]
    command += ["--data", str(folder), "--set", "serving.requests_per_minute=10000000"]
    process = subprocess.Popen(command)
    while True:
        time.sleep(0.2)
        if process.poll() is not None:
            raise SystemExit("The server did not start.")
        try:
            if httpx.get(f"http://127.0.0.1:{port}/v2/health/ready").status_code == 200:
                return process
        except httpx.TransportError:
            continue


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clips", nargs="+", type=Path)
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--port", type=int, default=8931)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        process = start(Path(folder), options.port)
        try:
            measure(options, process, Path(folder))
        finally:
            process.terminate()
            process.wait()


def measure(options: argparse.Namespace, process: subprocess.Popen, folder: Path) -> None:
    """Put load on a server and print the times."""
    url = f"http://127.0.0.1:{options.port}"
    load = Load(url, options.clips)
    with httpx.Client(base_url=url, timeout=600) as client:
        with open(options.clips[0], "rb") as file:
            accepted = client.post("/api/v1/videos", files={"file": file}).json()
        client.get(f"/api/v1/jobs/{accepted['job']}/events")
        load.label(client, options.clips[-1])
    load.log.clear()
    (model, *_) = children(process.pid)
    before = [resident_mb(process.pid), resident_mb(model)]
    work: list[Callable[[], None]] = [lambda: load.review(accepted["video"])] * options.clients
    work += [load.jobs, load.synchronous]
    threads = [threading.Thread(target=each) for each in work]
    for each in threads:
        each.start()
    time.sleep(options.seconds)
    load.stop.set()
    for each in threads:
        each.join()
    after = [resident_mb(process.pid), resident_mb(model)]
    metrics = httpx.get(f"{url}/metrics").text
    labelled = [each for each in metrics.splitlines() if each.startswith("avel_labelled_seconds_t")]
    print(f"{options.seconds:g} s, {options.clients} clients, {len(os.sched_getaffinity(0))} CPUs")
    print(f"labelled: {labelled[0].split()[1]} s of video")
    print(table(load.log))
    for name, first, last in zip(("server", "model process"), before, after, strict=True):
        print(f"memory of the {name}: {first:.0f} MB before, {last:.0f} MB after")
    state = folder / "avel-serve"
    left = [*(state / "uploads").iterdir(), *(state / "analysis").iterdir()]
    print(f"files left of {len(load.log['upload']) + len(load.log['synchronous'])}: {len(left)}")


if __name__ == "__main__":
    main()
