"""Where runs are computed: a Dask cluster of this machine, or any that is running.

Whole runs are sent to it, one at a time to a worker; a GPU is a resource, one run each.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from guided_dml.errors import InputError

if TYPE_CHECKING:
    from distributed import Client, Future

#: Seconds until a scheduler that does not answer counts as unreachable.
PATIENCE = 10


@contextmanager
def cluster(workers: int | None, scheduler: str | None) -> Iterator[Client]:
    """Connect to the running cluster at ``scheduler``, or start one here and stop it at the end.

    Args:
        workers: Processes to start here; by default one for each GPU, else for each core.
        scheduler: Address of a running scheduler, such as ``tcp://host:8786``.

    Raises:
        InputError: The scheduler does not answer, or has no worker.
    """
    with _connected(scheduler) if scheduler else _local(workers) as client:
        yield client


@contextmanager
def _connected(scheduler: str) -> Iterator[Client]:
    from distributed import Client

    try:
        client = Client(scheduler, timeout=PATIENCE)
    except (OSError, ValueError) as error:
        raise InputError(
            f"--scheduler: no Dask scheduler answers at {scheduler} within {PATIENCE} s; start one "
            "with `dask scheduler`, or leave the option out to use this machine"
        ) from error
    with client:
        if not client.scheduler_info()["workers"]:
            raise InputError(
                f"--scheduler: the scheduler at {scheduler} has no worker; start one with "
                f"`dask worker {scheduler} --nthreads 1`"
            )
        yield client


@contextmanager
def _local(workers: int | None) -> Iterator[Client]:
    import dask
    from torch import cuda

    gpus, cores = cuda.device_count(), len(os.sched_getaffinity(0))
    count = workers or gpus or cores
    # Runs that compete for the same cores slow each other down many times over.
    threads = str(max(1, cores // count))
    of_workers = {
        "OMP_NUM_THREADS": threads,
        "MKL_NUM_THREADS": threads,
        # They share the terminal with this process, which speaks for all; a lost worker shows as
        # its run's failure.
        "TQDM_DISABLE": "1",
        "DASK_LOGGING__DISTRIBUTED": "critical",
        # Dask looks at the stack a hundred times a second, which slows small steps down.
        "DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED": "False",
    }
    from distributed import Client, LocalCluster

    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    with (
        dask.config.set({"distributed.nanny.pre-spawn-environ": of_workers}),
        LocalCluster(
            n_workers=count,
            threads_per_worker=1,
            dashboard_address="127.0.0.1:0",
            silence_logs=logging.CRITICAL,
            resources={"GPU": 1} if gpus else None,
        ) as local,
        Client(local) as client,
    ):
        if gpus:
            client.register_plugin(_one_gpu(gpus))
        yield client


def _one_gpu(gpus: int) -> Any:
    from distributed import WorkerPlugin

    class OneGPU(WorkerPlugin):
        """Shows each worker one GPU only, before PyTorch looks."""

        def setup(self, worker: Any) -> None:
            os.environ["CUDA_VISIBLE_DEVICES"] = str(int(worker.name) % gpus)

    return OneGPU()


def workers_of(client: Client) -> int:
    """Return how many runs the cluster computes at once."""
    return max(1, len(client.scheduler_info()["workers"]))


def submit(client: Client, work: Callable[..., Any], *arguments: Any) -> Future[Any]:
    """Send a piece of work, to a worker with a GPU where there is one."""
    workers = client.scheduler_info()["workers"].values()
    on_gpu = any(worker["resources"].get("GPU") for worker in workers)
    return client.submit(work, *arguments, pure=False, resources={"GPU": 1} if on_gpu else None)
