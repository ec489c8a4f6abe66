"""The cluster that a comparison starts on this machine."""

from __future__ import annotations

import os
import subprocess
from time import sleep
from types import SimpleNamespace
from unittest.mock import patch

import pytest
from distributed import Client, LocalCluster, Scheduler, SpecCluster, Worker, get_worker

from guided_dml.comparison.cluster import _one_gpu, cluster, each, workers_of
from guided_dml.errors import InputError


def test_a_scheduler_that_is_gone_is_told_of() -> None:
    with (
        LocalCluster(n_workers=0, processes=False, dashboard_address=None) as own,
        Client(own) as client,
    ):
        assert workers_of(client) == 1
        own.close()
        with pytest.raises(InputError, match="connection to the Dask scheduler was lost"):
            workers_of(client)


def test_runs_on_gpus_only_leave_the_other_workers_alone() -> None:
    options = {"nthreads": 1, "dashboard_address": None}
    cpu = {"cls": Worker, "options": options}
    gpu = {"cls": Worker, "options": options | {"resources": {"GPU": 1}}}
    scheduler = {"cls": Scheduler, "options": {"dashboard_address": None, "port": 0}}
    with (
        SpecCluster(workers={"gpu": gpu, "cpu": cpu, "cpu 2": cpu}, scheduler=scheduler) as own,
        Client(own) as client,
    ):
        client.wait_for_workers(3)

        def name(_: int) -> str:
            sleep(0.2)
            return str(get_worker().name)

        jobs = [(number, (number,)) for number in range(4)]
        for on_gpu, workers, names in ((True, 1, {"gpu"}), (False, 3, {"gpu", "cpu", "cpu 2"})):
            assert workers_of(client, on_gpu) == workers
            assert {told for _, told, _ in each(client, name, jobs, on_gpu)} == names


def test_a_local_cluster_lets_nobody_else_in_and_limits_no_memory() -> None:
    own = cluster(workers=None, scheduler=None, most=1, threads=1)
    with patch.dict(os.environ), own as client:  # (Dask sets its workers' variables here as well)
        address = str(client.scheduler_info()["address"])
        (worker,) = client.scheduler_info()["workers"].values()
        assert worker["memory_limit"] == 0
        environment = client.submit(subprocess.getoutput, "env").result().splitlines()
        assert {"OMP_NUM_THREADS=1", "TQDM_DISABLE=1"} <= set(environment)
        assert "TQDM_DISABLE" not in os.environ  # (this process draws a bar)
        assert address.startswith("tls://127.0.0.1:")
        for stranger in (address, address.replace("tls", "tcp")):
            with pytest.raises((OSError, TypeError, ValueError)):
                Client(stranger, timeout=2)


def test_each_worker_sees_one_of_the_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    plugin = _one_gpu(2)
    for name, seen in ((0, "3"), (1, "5"), (2, "3")):
        plugin.setup(SimpleNamespace(name=name))
        assert os.environ["CUDA_VISIBLE_DEVICES"] == seen
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    _one_gpu(2).setup(SimpleNamespace(name="1"))
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "1"
