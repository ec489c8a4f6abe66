"""The cluster that a comparison starts on this machine."""

from __future__ import annotations

import os
import subprocess

import pytest
from distributed import Client, LocalCluster

from guided_dml.comparison.cluster import cluster, workers_of
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


def test_a_local_cluster_lets_nobody_else_in_and_limits_no_memory() -> None:
    with cluster(workers=None, scheduler=None, most=1, threads=1) as client:
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
