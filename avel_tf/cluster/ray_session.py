"""Connection to a Ray cluster, and the workers that fit into it."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from avel_tf.cluster.settings import ClusterSettings
from avel_tf.utils.lazy_imports import without_stderr
from avel_tf.utils.process_folder import ProcessFolder

LOCAL = "local"
# Blocks of names are small, and results go to the journal; the rest is for the model.
_LOCAL_STORE_BYTES = 256 * 2**20
_CONNECT_SECONDS = 10.0
_SHORT_FOLDER = "/tmp"
# A block that fails is tried again in the next pass. A pass ends early if more than this share
# fails, and more than this number.
_MOST_FAILED_BLOCKS = 100
_FAILED_BLOCKS_SHARE = 10


class ClusterError(ValueError):
    """A cluster that cannot be reached or used; the message says what to do."""


@dataclass(frozen=True)
class Workers:
    """Workers that fit into a cluster.

    Attributes:
        count: Number of workers.
        cpus: Processors of each.
        gpus: GPUs of each.
    """

    count: int
    cpus: int
    gpus: float


def load_ray() -> ModuleType:
    """Import Ray without its telemetry and its log lines.

    Raises:
        ClusterError: It is not installed.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Its C++ code writes errors to the terminal that are none.
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise ClusterError(f"--ray needs Ray ({error}): pip install 'avel-tf[ray]'") from error
    return ray


@contextlib.contextmanager
def ray_session(address: str) -> Iterator[ModuleType]:
    """Connect to a cluster for the time of the block.

    Args:
        address: `local` starts Ray on this machine; `auto` finds the cluster that this machine is
            part of; otherwise the address of the head node, as in `10.0.0.1:6379`.

    Raises:
        ClusterError: There is no cluster at the address.
    """
    ray = load_ray()
    began = not ray.is_initialized()
    scratch = None
    if began:
        options: dict[str, Any] = {"address": address}
        if address == LOCAL:
            # Ray's files stay behind. A socket's path has at most 107 bytes, so TMPDIR may be too
            # long for it.
            scratch = ProcessFolder("avel-ray-", _SHORT_FOLDER)
            # Ray lowers the priority of workers below that of its own processes, which takes 4 % of
            # the rate of a machine (docs/scale.md).
            os.environ.setdefault("RAY_worker_niceness", "0")
            options |= {
                "num_cpus": len(os.sched_getaffinity(0)),
                "include_dashboard": False,
                "_temp_dir": str(scratch.path),
                "object_store_memory": _LOCAL_STORE_BYTES,
            }
        try:
            if address not in (LOCAL, "auto"):
                _reach(address)
            with without_stderr():
                ray.init(log_to_driver=False, configure_logging=False, **options)
        except (ConnectionError, ValueError, RuntimeError, OSError) as error:
            raise ClusterError(
                f"There is no Ray cluster at {address}: {str(error).splitlines()[0]} Start one "
                "with `ray start --head`, or use --ray local."
            ) from error
    for name in ("ray", "ray.data"):
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        yield ray
    finally:
        if began:
            ray.shutdown()
        if scratch is not None:
            scratch.close()


def map_blocks(
    ray: ModuleType, worker: type, work: Any, blocks: list[Any], workers: Workers
) -> Iterator[Any]:
    """Hand blocks to actors of a class; those whose actor dies, or fails, have no output.

    Args:
        ray: The connected library.
        worker: Callable class, made once in each actor with `work`, that maps a table to a table.
        work: Its argument.
        blocks: Tables of pyarrow, each of which is a task.
        workers: Actors of the cluster.

    Yields:
        Output tables in the order in which they are finished.

    Raises:
        ClusterError: The actors cannot be started, or too many blocks fail.
    """
    from ray.data import ActorPoolStrategy, DataContext

    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.max_errored_blocks = max(_MOST_FAILED_BLOCKS, len(blocks) // _FAILED_BLOCKS_SHARE)
    count = min(workers.count, len(blocks))
    with warnings.catch_warnings():
        # `max_task_retries` has no argument of its own yet.
        warnings.simplefilter("ignore", ray.util.annotations.RayDeprecationWarning)
        results = ray.data.from_arrow(blocks).map_batches(
            worker,
            fn_constructor_args=(work,),
            batch_size=None,
            batch_format="pyarrow",
            compute=ActorPoolStrategy(
                min_size=1, max_size=count, initial_size=count, max_tasks_in_flight_per_actor=2
            ),
            num_cpus=workers.cpus,
            num_gpus=workers.gpus,
            # A block of a lost worker waits for the next pass: repeated at once, it could wait for
            # the lost machine, and a file that ends its process would end the next one, too.
            max_task_retries=0,
        )
    try:
        for bundle in results.iter_internal_ref_bundles():
            yield from ray.get(list(bundle.block_refs))
    except ray.exceptions.RayActorError as error:
        raise ClusterError(f"The workers fail: {error}") from error


def _reach(address: str) -> None:
    """Refuse an address at which nothing answers; Ray itself would wait for minutes."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if not host or not port.isdecimal():
        raise ValueError("the address has not the form HOST:PORT.")
    socket.create_connection((host, int(port)), timeout=_CONNECT_SECONDS).close()


def workers_of(ray: ModuleType, settings: ClusterSettings) -> Workers:
    """Workers that fit into the machines that the cluster has now.

    Raises:
        ClusterError: There is no room for one.
    """
    machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    machines = [each for each in machines if each.get("CPU", 0) >= 1]
    if not machines:
        raise ClusterError("The cluster has no machine with processors.")
    gpus = settings.gpus_per_worker
    if gpus is None:
        gpus = 1.0 if any(each.get("GPU") for each in machines) else 0.0
    if gpus:
        machines = [each for each in machines if each.get("GPU", 0) >= gpus]
    cpus = settings.cpus_per_worker
    if cpus is None:
        shares = [
            int(each["CPU"] // max(1, each.get("GPU", 0) // gpus if gpus else 1))
            for each in machines
        ]
        cpus = max(1, min(shares, default=1))
    count = sum(
        int(min(each["CPU"] // cpus, each["GPU"] // gpus if gpus else each["CPU"]))
        for each in machines
    )
    if not count:
        raise ClusterError(
            f"No machine of the cluster has room for a worker with {cpus} processors and {gpus:g} "
            "GPUs. Lower cluster.cpus_per_worker or cluster.gpus_per_worker."
        )
    return Workers(min(count, settings.workers or count), cpus, gpus)
