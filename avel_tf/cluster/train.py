"""Training with several seeds, each a task of a Ray cluster."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from avel_tf.cluster.ray_session import ray_session, workers_of
from avel_tf.config import Config
from avel_tf.features.feature_store import FeatureStore
from avel_tf.training.job import Seed

# A worker that dies for other causes than its own, such as a reclaimed machine, may die often.
_RETRIES = 20


def seeds_on_cluster(
    address: str, config: Config, on_seed: Callable[[int, dict[str, Any]], None]
) -> Callable[[FeatureStore, Sequence[Seed]], list[dict[str, Any]]]:
    """A function that trains the seeds of `avel_tf.train` on a Ray cluster, one task each.

    A task whose worker dies starts again elsewhere and goes on from the last epoch, with the same
    result. All machines must see the feature store and the folder of the run.

    Args:
        address: The cluster, as of `ray_session`.
        config: `cluster.cpus_per_worker`, `gpus_per_worker` and `workers` apply.
        on_seed: Called with each finished seed and its metrics.

    Returns:
        A function for the argument `each_seed` of `avel_tf.train`.
    """

    def train_all(store: FeatureStore, seeds: Sequence[Seed]) -> list[dict[str, Any]]:
        with ray_session(address) as ray:
            workers = workers_of(ray, config.cluster)
            task = ray.remote(_train).options(
                num_cpus=workers.cpus,
                num_gpus=workers.gpus,
                max_retries=_RETRIES,
                runtime_env={"env_vars": {"TF_NUM_INTRAOP_THREADS": str(workers.cpus)}},
            )
            running: dict[Any, int] = {}
            finished: dict[int, dict[str, Any]] = {}
            waiting = list(enumerate(seeds))
            while waiting or running:
                while waiting and len(running) < workers.count:
                    number, seed = waiting.pop(0)
                    running[task.remote(str(store.folder.resolve()), seed)] = number
                (done, *_), _ = ray.wait(list(running))
                number = running.pop(done)
                finished[number] = ray.get(done)
                on_seed(seeds[number].number, finished[number])
        return [finished[number] for number in range(len(seeds))]

    return train_all


def _train(store: str, seed: Seed) -> dict[str, Any]:
    from avel_tf.utils.lazy_imports import load_tensorflow

    load_tensorflow()
    from avel_tf.training.job import train_seed

    # A task that is tried again finds the checkpoint of the first attempt.
    again = (Path(seed.folder) / "manifest.json").is_file()
    return train_seed(FeatureStore(store), seed, resume=seed.resume or again)
