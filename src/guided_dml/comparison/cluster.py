"""Where runs are computed: a Dask cluster of this machine, or any that is running.

Whole runs are sent to it, one at a time to a worker; a GPU is a resource, one run each.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import ValidationError

from guided_dml.errors import InputError

if TYPE_CHECKING:
    from distributed import Client

Job = TypeVar("Job")

#: Seconds until a scheduler that does not answer counts as unreachable.
PATIENCE = 10


def cluster(
    workers: int | None, scheduler: str | None, most: int, threads: int
) -> AbstractContextManager[Client]:
    """Connect to the running cluster at ``scheduler``, or start one here and stop it at the end.

    Args:
        workers: Processes to start here; by default one for each GPU, else as many as there are
            cores for.
        scheduler: Address of a running scheduler, such as ``tcp://host:8786``.
        most: How many runs there are; no more processes are started.
        threads: Of a run.

    Raises:
        InputError: The scheduler does not answer, or has no worker.
    """
    return _connected(scheduler) if scheduler else _local(workers, most, threads)


@contextmanager
def _connected(scheduler: str) -> Iterator[Client]:
    from distributed import Client

    try:
        client = Client(scheduler, timeout=PATIENCE)
    except (OSError, TypeError, ValueError) as error:
        raise InputError(
            f"--scheduler: no Dask scheduler answers at {scheduler} within {PATIENCE} s; start one "
            "with `dask scheduler`, or leave the option out to use this machine"
        ) from error
    with client:
        if not _workers(client):
            raise InputError(
                f"--scheduler: the scheduler at {scheduler} has no worker; start one with "
                f"`dask worker {scheduler} --nthreads 1`"
            )
        yield client


@contextmanager
def _local(workers: int | None, most: int, threads: int) -> Iterator[Client]:
    import dask
    from dask.system import CPU_COUNT
    from torch import cuda

    gpus = cuda.device_count()
    count = min(workers or gpus or max(1, CPU_COUNT // threads), most)
    of_workers = {
        "OMP_NUM_THREADS": str(threads),
        "MKL_NUM_THREADS": str(threads),
        # A lost worker shows as its run's failure.
        "DASK_LOGGING__DISTRIBUTED": "critical",
        # Dask looks at the stack a hundred times a second, which slows small steps down.
        "DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED": "False",
    }
    from distributed import Client, LocalCluster

    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    # They share the terminal with this process, which speaks for all (and takes over the others).
    quiet = {"TQDM_DISABLE": "1"}
    nanny = {"distributed.nanny.pre-spawn-environ": of_workers, "distributed.nanny.environ": quiet}
    with (
        dask.config.set(nanny),
        LocalCluster(
            n_workers=count,
            threads_per_worker=1,
            # Dask's share of the memory, that over the cores, is too little for a run on a
            # machine of many cores; the system's own limit is enough.
            memory_limit=0,
            # Whoever reaches the scheduler runs code as this user: temporary keys keep others out.
            security=True,
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

    everything = ",".join(map(str, range(gpus)))
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", everything).split(",")

    class OneGPU(WorkerPlugin):
        """Shows each worker one GPU only, before PyTorch looks."""

        def setup(self, worker: Any) -> None:
            os.environ["CUDA_VISIBLE_DEVICES"] = visible[int(worker.name) % len(visible)]

    return OneGPU()


def workers_of(client: Client, on_gpu: bool = False) -> int:
    """Return how many runs the cluster computes at once; ``on_gpu``: none of them on a CPU."""
    return max(1, len(_able(client, on_gpu)))


def _able(client: Client, on_gpu: bool) -> list[dict[str, Any]]:
    workers = _workers(client)
    return [one for one in workers if on_gpu and one["resources"].get("GPU")] or workers


def _workers(client: Client) -> list[dict[str, Any]]:
    """Return all workers, asked for anew: what a client remembers often lacks them.

    Raises:
        InputError: The scheduler is gone.
    """
    scheduler: Any = client.scheduler
    try:
        told = client.sync(scheduler.identity, n_workers=-1)
    except (AttributeError, OSError, RuntimeError) as error:  # (the client has given it up)
        raise InputError(
            "the connection to the Dask scheduler was lost; what has finished is stored, and the "
            "same command goes on from it"
        ) from error
    return [*told["workers"].values()]


def each(
    client: Client,
    work: Callable[..., Any],
    jobs: Iterable[tuple[Job, tuple[Any, ...]]],
    on_gpu: bool = False,
) -> Iterator[tuple[Job, Any, BaseException | None]]:
    """Do pieces of work, one at a time to a worker, and yield them as they end.

    No more are sent than there are workers: Dask blames a lost worker on all that waits there.
    None that has ended is kept: Dask would do it again if its worker were lost later.

    Args:
        client: Of the cluster.
        work: What to do.
        jobs: Anything, and the arguments of its work; asked for the next when a worker is free.
        on_gpu: Only workers with a GPU are asked, if there are any.

    Yields:
        The job, its result, and the error in place of a result.
    """
    from distributed import as_completed

    source, under_way, ended = iter(jobs), dict[Any, Job](), as_completed()

    def fill() -> None:
        able = _able(client, on_gpu)
        has_gpu = on_gpu and any(worker["resources"].get("GPU") for worker in able)
        resources = {"GPU": 1} if has_gpu else None
        for job, arguments in islice(source, max(0, max(1, len(able)) - len(under_way))):
            future = client.submit(work, *arguments, pure=False, resources=resources)
            under_way[future] = job
            ended.add(future)

    fill()
    for future in ended:
        job = under_way.pop(future)
        if future.status in ("cancelled", "lost"):
            yield job, None, RuntimeError("the connection to the scheduler was lost")
        else:
            error = future.exception()
            yield job, None if error else future.result(), error
        future.release()
        fill()


def reason(error: BaseException) -> str:
    """Return why a piece of work failed, in a line."""
    from distributed import KilledWorker

    if isinstance(error, KilledWorker):
        return "its worker was lost again and again (killed, or out of memory)"
    lines = [line.strip() for line in str(error).strip().splitlines()] or [type(error).__name__]
    ours = isinstance(error, InputError)
    told = 3 if ours or isinstance(error, ValidationError) else 1  # (what is wrong comes later)
    text = " ".join(lines[:told])
    return text if ours else f"{type(error).__name__}: {text}"
