"""Runs whose worker, machine, driver or head is killed: each input has one line in the end."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from avel_tf.events.result import Result
from avel_tf.events.result_shards import read_all_results
from avel_tf.utils.process_folder import ProcessFolder
from tests.processes import HANGS, wait_until

pytest.importorskip("ray")
pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
FILES = 100
HEAD_KILLS = int(os.environ.get("AVEL_KILLS", "2"))
QUICK = ("cluster.commit_seconds=1", "cluster.block_files=8", "cluster.cpus_per_worker=1")
# Files that two workers have open, or whose result is on its way, when all processes die.
LOST = 4
# Ray reads these from the environment. A driver would wait for a minute for a head that is gone.
# Workers of a lower priority, Ray's default, would wait for other programs of a busy machine.
ENVIRONMENT = {
    "PYTHONPATH": str(ROOT),
    "RAY_AUTH_MODE": "disabled",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_worker_niceness": "0",
    "RAY_gcs_rpc_server_reconnect_timeout_s": "3",
    "RAY_raylet_client_num_connect_attempts": "3",
}
MACHINE = {"num_cpus": 1, "object_store_memory": 80 * 2**20}


class Machines:
    """A cluster of a head and two nodes on this machine."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster

        self.cluster = Cluster(
            initialize_head=True,
            head_node_args={**MACHINE, "num_cpus": 0, "include_dashboard": False},
        )
        self.nodes = []
        self.add_machine()
        self.add_machine()
        self.alive = True

    @property
    def address(self) -> str:
        return self.cluster.address

    def add_machine(self) -> None:
        self.nodes.append(self.cluster.add_node(**MACHINE))

    def kill_machine(self) -> None:
        self.cluster.remove_node(self.nodes.pop(0), allow_graceful=False)

    def kill_head(self) -> None:
        """Kill every process of the cluster, the head first, as a lost head ends them all."""
        self.alive = False
        for node in (self.cluster.head_node, *self.nodes):
            node.kill_all_processes(check_alive=False, allow_graceful=False)


@pytest.fixture(scope="module")
def start() -> Iterator[Callable[[], Machines]]:
    """Returns the cluster; a new one if the last was killed."""
    started: list[Machines] = []

    def running() -> Machines:
        if not started or not started[-1].alive:
            started.append(Machines())
        return started[-1]

    with pytest.MonkeyPatch.context() as patch:
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        # The path of a Unix socket has at most 107 characters; pytest's folders have longer ones.
        patch.delenv("TMPDIR", raising=False)
        yield running
        for machines in started:
            machines.kill_head()
        ProcessFolder("avel-worker-").close()  # removes those of the workers


@pytest.fixture
def videos(tmp_path) -> Path:
    folder = tmp_path / "videos"
    folder.mkdir()
    for number in range(FILES):
        content = b"broken" if number % 50 == 7 else b"film %d" % number
        (folder / f"{number:03d}.mp4").write_bytes(content)
    return folder


class Driver:
    """The process that runs `avel infer --ray`."""

    def __init__(self, videos: Path, address: str, seconds: float) -> None:
        self.out = videos.parent / "out"
        self.log = videos.parent / "log"
        words = [str(videos), str(self.out), address, str(self.log), str(seconds), *QUICK]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.cluster.fake_run", *words],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def wait_for(self, count: int) -> None:
        """Wait until so many results are committed."""
        wait_until(lambda: len(done(self.out)) >= count, self.process, every=0.05)

    def end(self) -> dict:
        output, errors = self.process.communicate(timeout=HANGS)
        assert self.process.returncode == 0, errors
        return json.loads(output.splitlines()[-1])

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate(timeout=HANGS)

    def opened(self) -> Counter:
        return Counter(self.log.read_text().splitlines())


def done(out: Path) -> list[Result]:
    return list(read_all_results(out)) if (out / "manifest" / "00000000.json").exists() else []


def check(driver: Driver, videos: Path, *, poisoned: tuple[str, ...] = ()) -> int:
    """Each input has one line, of its own content; returns the number of files opened again."""
    found = done(driver.out)
    names = [os.path.basename(result.video) for result in found]
    assert sorted(names) == sorted(path.name for path in videos.iterdir())
    for name, result in zip(names, found, strict=True):
        broken = (videos / name).read_bytes().startswith(b"broken")
        expected = "quarantined" if broken or name in poisoned else "ok"
        assert result.status == expected, result
        assert ("died twice" in (result.reason or "")) == (name in poisoned)
    table = sum(
        (driver.out / "shards").joinpath(f"{each.stem}.parquet").exists()
        for each in (driver.out / "shards").glob("*.jsonl")
    )
    assert table == len(list((driver.out / "shards").glob("*.jsonl")))
    return driver.opened().total() - len(names)


def workers_of(driver: Driver) -> list[int]:
    """Processes of the workers of this user whose title names the class."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                title = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if title.startswith(b"ray::") and b"LabelWorker" in title:
                environment = (entry / "environ").read_bytes()
                if str(ROOT).encode() in environment:
                    found.append(int(entry.name))
    return found


def test_a_machine_removed_and_workers_killed(start, videos, report):
    machines = start()
    machines.add_machine()
    driver = Driver(videos, machines.address, seconds=0.1)
    driver.wait_for(10)
    machines.kill_machine()
    for count in (30, 50):
        driver.wait_for(count)
        victims = workers_of(driver)
        os.kill(random.Random(count).choice(victims), signal.SIGKILL)
    summary = driver.end()
    assert summary["complete"] and summary["repetitions"].get("labelled again", 0) == 0
    again = check(driver, videos)
    # Of each dead worker, the file in its hand alone is opened again.
    assert again <= summary["opened_again"] <= 3
    report("machine and two workers killed", FILES, again)


def test_poison_is_quarantined_and_no_other_file(start, videos, report):
    for name in ("010.mp4", "050.mp4"):
        (videos / name).write_bytes(b"poison")
    (videos / "051.mp4").write_bytes(b"cursed")
    driver = Driver(videos, start().address, seconds=0.01)
    driver.end()
    again = check(driver, videos, poisoned=("010.mp4", "050.mp4", "051.mp4"))
    opened = driver.opened()
    assert all(opened[name] == 3 for name in ("010.mp4", "050.mp4", "051.mp4"))
    report("three poison files", FILES, again)


def test_a_driver_killed_again_and_again(start, videos, report):
    machines = start()
    for count in (10, 60):
        driver = Driver(videos, machines.address, seconds=0.1)
        driver.wait_for(count)
        driver.kill()
    driver = Driver(videos, machines.address, seconds=0.1)
    assert driver.end()["resumed"] >= 60
    again = check(driver, videos)
    assert again <= 2 * LOST
    report("driver killed twice", FILES, again)


def test_a_signal_finishes_the_files_in_progress(start, videos, report):
    machines = start()
    driver = Driver(videos, machines.address, seconds=0.1)
    driver.wait_for(30)
    driver.process.send_signal(signal.SIGTERM)
    summary = driver.end()
    assert not summary["complete"] and summary["repetitions"] == {}
    assert len(done(driver.out)) == sum(summary["counts"].values()) < FILES
    driver = Driver(videos, machines.address, seconds=0.01)
    assert driver.end()["complete"]
    again = check(driver, videos)
    # Once no file is open, workers are ended, also one that is about to open the next.
    assert again <= 2
    report("interrupted by SIGTERM", FILES, again)


def test_a_head_killed_again_and_again(start, videos, report):
    moments = random.Random(16)
    for kill in range(HEAD_KILLS):
        machines = start()
        driver = Driver(videos, machines.address, seconds=0.1)
        driver.wait_for(min(FILES - 10, (kill + 1) * FILES // (HEAD_KILLS + 2)))
        time.sleep(moments.random() * 0.5)
        machines.kill_head()
        # It may have finished in that moment; else it ends because the head is gone.
        driver.process.communicate(timeout=HANGS)
    driver = Driver(videos, start().address, seconds=0.1)
    driver.end()
    again = check(driver, videos)
    assert again <= HEAD_KILLS * LOST
    report(f"head killed {HEAD_KILLS} times", FILES, again)


@pytest.fixture
def report() -> Iterator:
    began = time.monotonic()

    def line(what: str, inputs: int, again: int) -> None:
        wall = time.monotonic() - began
        print(f"\n| {what} | {inputs} | 0 | 0 | {again} ({again / inputs:.1%}) | {wall:.0f} s |")

    yield line
