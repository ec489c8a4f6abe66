"""The cluster that a comparison starts on this machine."""

from __future__ import annotations

import os
import subprocess
from types import SimpleNamespace
from unittest.mock import patch

import pytest
from distributed import Client, LocalCluster

from guided_dml.comparison.cluster import _one_gpu, cluster, workers_of
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
